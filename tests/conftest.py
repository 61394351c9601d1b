"""What tests of several packages share: a tiny data set, and how to run commands on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from opanas_cli.commands import run

TINY = (
    "model.neck.num_nodes=2",
    "model.neck.out_channels=8",
    "model.neck.deformable=False",
    "model.rpn_head.in_channels=8",
    "model.rpn_head.feat_channels=8",
    "model.roi_head.bbox_roi_extractor.out_channels=8",
    "model.roi_head.bbox_head.in_channels=8",
    "model.roi_head.bbox_head.fc_out_channels=8",
    "supernet.image_scale=(64,64)",
    "supernet.batch_size=4",
    "supernet.epochs=1",
    "supernet.milestones=()",
    "supernet.search_split=0.4",
    "retrain.image_scale=(64,64)",
    "retrain.batch_size=4",
    "retrain.epochs=1",
    "retrain.milestones=()",
    "cost_input=(64,64)",
)
"""Overrides that make the shipped config `shapes` train in a second."""


@pytest.fixture(scope="session")
def shapes_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated COCO folder of shapes with 12 images to train on and 6 to validate on. Do not write into it."""
    from opanas_cli.detection.shapes import generate_shapes

    root = tmp_path_factory.mktemp("shapes")
    generate_shapes(root, num_train=12, num_val=6)
    return root


@pytest.fixture(scope="session")
def tiny_options(shapes_root: Path) -> tuple[str, ...]:
    """``KEY=VALUE`` overrides that make the config `shapes` tiny and have it read `shapes_root`."""
    return (*TINY, f"data_root={shapes_root}")


@pytest.fixture(scope="session")
def tiny_supernet(tiny_options: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of a super-net trained for two steps."""
    folder = tmp_path_factory.mktemp("supernet")
    options = ["--work-dir", str(folder), "--device", "cpu", "-q", "--cfg-options", *tiny_options]
    assert run(["train-supernet", "shapes", *options]) == 0
    return folder / "supernet.pth"


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command that must fail with an exit code and one line on stderr, and returns that line."""

    def call(code: int, *arguments: object) -> str:
        capsys.readouterr()
        got = run([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        aside = ("opanas: warning: ", "checking ")
        lines = [line for line in err.splitlines() if not line.startswith(aside)]
        assert (got, out, len(lines)) == (code, "", 1), err
        assert lines[0].startswith("opanas: ")
        return lines[0].removeprefix("opanas: ")

    return call
