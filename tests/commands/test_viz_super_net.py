"""``opanas viz`` with the edge importances of a super-net, and with the costs of a config."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from opanas_cli.commands import run
from opanas_cli.detection.configs.files import load_config
from opanas_cli.detection.costs.profiling import CostModel
from opanas_cli.formats.text import line_of
from opanas_cli.genotype import Genotype
from opanas_cli.necks.super_net import OPASuperNet

GENOTYPE = "td|bu,skip"
"""In flat order its edges are 0->1, 0->2 and 1->2."""


@pytest.fixture
def super_net(tmp_path: Path) -> Callable[..., Path]:
    """Makes a super-net with the given importances, and paths, of two nodes."""

    def made(importance: Any, paths: tuple[str, ...] = ("top_down", "bottom_up", "skip_connect")) -> Path:
        meta = {
            "space": {"num_nodes": 2, "kind": "dense", "paths": list(paths)},
            "classes": [],
            "search_split": 0.2,
            "split_by": "file",
        }
        state = {} if importance is None else {"neck.edge_importance": importance}
        path = tmp_path / "supernet.pth"
        torch.save({"format": "opanas-supernet", "version": 1, "meta": meta, "state_dict": state}, path)
        return path

    return made


@pytest.fixture(autouse=True)
def in_a_folder_with_a_genotype(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("two.txt").write_text(GENOTYPE)


def test_importances_are_those_of_the_edges(super_net: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    path = super_net(torch.tensor([0.25, -0.5, 1.0]))
    assert run(["viz", "two.txt", "--supernet", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "x1 = 0.25 TD(P)" in shown
    assert "x2 = -0.5 BU(P) + 1 skip(x1)" in shown
    assert run(["viz", "two.txt", "--supernet", str(path), "-o", "drawing.dot"]) == 0
    assert 'P -> x2 [label="BU", penwidth=2.5' in Path("drawing.dot").read_text()


@pytest.mark.parametrize("kind", ["dense", "chain"])
def test_flat_order_is_that_of_the_super_net(kind: str) -> None:
    net = OPASuperNet(in_channels=[8, 8], out_channels=8, num_outs=2, num_nodes=3, space=kind, deformable=False)
    edges = Genotype.of(["none"] * len(net.edge_importance), kind).edges
    assert [f"{edge.source}_{edge.target}" for edge in edges] == list(net.paths)


@pytest.mark.parametrize(
    ("importance", "genotype", "message"),
    [
        (torch.ones(3), "opa-fpn", "opa-fpn: is dense with N = 5, but"),
        (torch.ones(3), "panet", "panet: is chain with N = 2, but"),
        (None, "two.txt", "has no edge importances"),
        (torch.ones(4), "two.txt", "not one finite importance for each of 3 edges"),
        (torch.tensor([1.0, float("nan"), 1.0]), "two.txt", "not one finite importance"),
        (torch.ones(3, dtype=torch.int64), "two.txt", "not one finite importance"),
        ([1.0, 1.0, 1.0], "two.txt", "not one finite importance"),
    ],
)
def test_a_super_net_that_does_not_fit_is_one_line(
    super_net: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
    importance: Any,
    genotype: str,
    message: str,
) -> None:
    arguments = ["viz", genotype, "--supernet", str(super_net(importance)), "-o", "drawing.svg"]
    assert run(arguments) == 3
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not Path("drawing.svg").exists()


def test_paths_that_the_super_net_lacks_are_refused(
    super_net: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["viz", "two.txt", "--supernet", str(super_net(torch.ones(3), ("top_down",)))]) == 3
    assert "two.txt: has the path 'bottom_up', which" in capsys.readouterr().err


def test_the_costs_of_a_page_add_up_to_what_the_genotype_costs(tiny_options: tuple[str, ...]) -> None:
    model = CostModel(load_config("shapes", tiny_options))
    two = Genotype.of(["top_down", "bottom_up", "skip_connect"])
    skips = Genotype.of(["skip_connect"] * 3)
    assert line_of(two) == GENOTYPE
    for cost in ("macs", "params"):
        added = sum(getattr(model.per_path[path], cost) for path in two.paths)
        assert added > 0
        assert getattr(model(two), cost) - getattr(model(skips), cost) == added


def test_a_page_shows_the_costs_of_a_config(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--cfg-options", "cost_input=(64,64)"]
    assert run(["viz", "two.txt", "--config", "shapes", "-o", "drawing.html"]) == 0
    assert run(["viz", "two.txt", "--config", "shapes", "-o", "narrow.html", *options]) == 0
    assert Path("narrow.html").read_text(encoding="utf-8") != Path("drawing.html").read_text(encoding="utf-8")
    page = Path("drawing.html").read_text(encoding="utf-8")
    assert "P to x1: top-down, parameters " in page
    assert "x1 to x2: skip-connect, parameters 0, MACs 0" in page
