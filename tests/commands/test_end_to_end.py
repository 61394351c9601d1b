"""The whole loop through the command line: train-supernet, evolve, retrain, export, and retrain what was exported."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import pytest
from without_spent import results_of

from opanas_cli.commands import run

NARROW = (
    "model.backbone.base_channels=8",
    "model.backbone.stem_channels=8",
    "model.neck.in_channels=[8,16,32,64]",
    "model.neck.deformable=True",
    "supernet.epochs=1",
    "supernet.milestones=()",
    "search.population=4",
    "search.generations=1",
    "search.top_k=2",
)


def call(*arguments: object) -> dict[str, Any]:
    """The JSON document of a command that must succeed, and print nothing else on stdout."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run([*map(str, arguments), "--json"])
    assert code == 0, err.getvalue()
    document: dict[str, Any] = json.loads(out.getvalue())
    assert document["version"] == 1
    missing = [path for path in document["files"].values() if not Path(path).exists()]
    assert not missing, "the command lists files that it did not write"
    return document


def weights(file: object) -> dict[str, Any]:
    import torch

    state: dict[str, Any] = torch.load(str(file), weights_only=True)["state_dict"]
    return state


def assert_equal_weights(left: object, right: object) -> None:
    import torch

    first, second = weights(left), weights(right)
    assert list(first) == list(second)
    assert not [name for name, value in first.items() if not torch.equal(value, second[name])]


@pytest.fixture(scope="module")
def options(tiny_options: tuple[str, ...]) -> list[str]:
    """The end of every command line: the device, and a config made tiny."""
    return ["--device", "cpu", "--cfg-options", *tiny_options, *NARROW]


@pytest.fixture(scope="module")
def loop(options: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The documents of a super-net's training and search, and the work dir."""
    folder = tmp_path_factory.mktemp("loop")
    trained = call("train-supernet", "shapes", "--work-dir", folder, *options)
    evolved = call("evolve", "shapes", folder / "supernet.pth", "--work-dir", folder, *options)
    return {"folder": folder, "supernet": folder / "supernet.pth", "trained": trained, "evolved": evolved}


def test_training_the_super_net(loop: dict[str, Any]) -> None:
    trained = loop["trained"]
    assert trained["steps"] > 0
    assert trained["loss_at_start"] > 0
    assert len(trained["edge_importance"]) == 3
    assert Path(trained["files"]["super-net"]) == loop["supernet"]
    assert list(Path(trained["files"]["log"]).rglob("*.log"))


def test_evolving_it(loop: dict[str, Any]) -> None:
    from opanas_cli.formats import resolve_record
    from opanas_cli.formats.text import line_of

    evolved, folder = loop["evolved"], loop["folder"]
    lines = (folder / "history.jsonl").read_text().splitlines()
    assert len(lines) == 1 + evolved["evaluated"] == 1 + 4 * 2
    record = resolve_record(str(folder / "best.json"))
    assert line_of(record.genotype) == evolved["best"]["genotype"]
    fitness = [json.loads(line)["fitness"] for line in lines[1:]]
    assert evolved["best"]["fitness"] == max(fitness)
    assert json.loads((folder / "population.json").read_text())


@pytest.mark.parametrize("kept", [0, 3, 8])
def test_a_search_cut_short_goes_on_as_if_nothing_had_happened(
    loop: dict[str, Any], options: list[str], tmp_path: Path, kept: int
) -> None:
    lines = (loop["folder"] / "history.jsonl").read_bytes().splitlines(keepends=True)
    torn = lines[kept + 1][:20] if kept + 1 < len(lines) else b""
    (tmp_path / "history.jsonl").write_bytes(b"".join(lines[: kept + 1]) + torn)
    again = call("evolve", "shapes", loop["supernet"], "--work-dir", tmp_path, "--resume", *options)
    assert results_of(tmp_path) == results_of(loop["folder"])
    assert again["best"] == loop["evolved"]["best"]


def test_limits_are_kept(loop: dict[str, Any], options: list[str], tmp_path: Path) -> None:
    def macs_in(folder: Path) -> list[int]:
        lines = (folder / "history.jsonl").read_text().splitlines()[1:]
        return sorted(json.loads(line)["cost"]["macs"] for line in lines)

    limit = macs_in(loop["folder"])[4]
    call("evolve", "shapes", loop["supernet"], "--work-dir", tmp_path, "--max-macs", limit, *options)
    assert macs_in(tmp_path)[-1] <= limit < macs_in(loop["folder"])[-1]


def test_the_same_seed_gives_the_same_super_net_and_another_seed_another(
    loop: dict[str, Any], options: list[str], tmp_path: Path
) -> None:
    import torch

    call("train-supernet", "shapes", "--work-dir", tmp_path / "same", *options)
    assert_equal_weights(tmp_path / "same" / "supernet.pth", loop["supernet"])
    call("train-supernet", "shapes", "--work-dir", tmp_path / "other", "--seed", 1, *options)
    name = "backbone.conv1.weight"
    assert not torch.equal(weights(tmp_path / "other" / "supernet.pth")[name], weights(loop["supernet"])[name])


def test_the_winner_its_baseline_and_the_exported_config(
    loop: dict[str, Any], options: list[str], tmp_path: Path
) -> None:
    best = loop["folder"] / "best.json"
    winner = call("retrain", "shapes", "--genotype", best, "--work-dir", tmp_path / "opa", *options)
    assert set(winner["metrics"]) == {"AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large"}
    assert {"macs": winner["macs"], "params": winner["params"]} == {
        name: loop["evolved"]["best"][name] for name in ("macs", "params")
    }
    assert_no_neck_of_another_kind(winner, "neck.paths")

    fpn = call("retrain", "shapes", "--genotype", best, "--neck", "fpn", "--work-dir", tmp_path / "fpn", *options)
    assert_no_neck_of_another_kind(fpn, "neck.fpn_convs")

    device = options.index("--cfg-options")
    config = tmp_path / "winner.py"
    exported = call("export", best, "--to", "mmdet-config", "--dataset", "shapes", "-o", config, *options[device:])
    assert exported["files"] == {"config": str(config)}
    again = call("retrain", config, "--work-dir", tmp_path / "exported", "--device", "cpu")
    assert (again["macs"], again["params"]) == (winner["macs"], winner["params"])
    assert_equal_weights(again["files"]["detector"], winner["files"]["detector"])
    assert repr(again["metrics"]) == repr(winner["metrics"])


def assert_no_neck_of_another_kind(document: dict[str, Any], prefix: str) -> None:
    names = [name for name in weights(document["files"]["detector"]) if name.startswith("neck.")]
    assert any(name.startswith(prefix) for name in names)
    assert not any(name.startswith({"neck.paths", "neck.fpn_convs"}.difference([prefix]).pop()) for name in names)


def test_inheriting_starts_from_the_super_nets_weights(
    loop: dict[str, Any], options: list[str], tmp_path: Path
) -> None:
    """A learning rate next to zero keeps the start, but for the running statistics of norms."""
    import torch

    from opanas_cli.formats import resolve_genotype
    from opanas_cli.genotype.liveness import live_edges

    best = loop["folder"] / "best.json"
    genotype = resolve_genotype(str(best))
    arguments = ["--genotype", best, "--inherit", loop["supernet"], "--work-dir", tmp_path]
    document = call("retrain", "shapes", *arguments, *options, "retrain.lr=1e-12")
    parent, child = weights(loop["supernet"]), weights(document["files"]["detector"])
    assert set(child) <= set(parent)
    trained = {name for name in child if "running_" not in name and "num_batches" not in name}
    live = [edge for edge, _ in live_edges(genotype)]
    expected = parent["neck.edge_importance"][[genotype.edges.index(edge) for edge in live]]
    assert torch.equal(child["neck.edge_importance"], expected)
    for name in trained - {"neck.edge_importance"}:
        assert torch.allclose(child[name], parent[name], rtol=0, atol=1e-10), name


@pytest.mark.usefixtures("still_clock")
@pytest.mark.parametrize("command", ["train-supernet", "retrain"])
def test_training_goes_on_where_it_stopped(
    loop: dict[str, Any], options: list[str], tmp_path: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from opanas_cli.search.fair_sampling import SAMPLERS, fair_genotypes

    drawn: list[Any] = []
    monkeypatch.setitem(SAMPLERS, "fair", lambda *a: drawn.append(fair_genotypes(*a)) or drawn[-1])
    stage = "supernet" if command == "train-supernet" else "retrain"
    genotype = [] if command == "train-supernet" else ["--genotype", loop["folder"] / "best.json"]

    def train(folder: Path, epochs: int, *more: object) -> list[Any]:
        drawn.clear()
        call(command, "shapes", *genotype, "--work-dir", folder, *more, *options, f"{stage}.epochs={epochs}")
        return list(drawn)

    straight = train(tmp_path / "straight", 2)
    first = train(tmp_path / "resumed", 1)
    rest = train(tmp_path / "resumed", 2, "--resume")
    assert first + rest == straight
    assert len(first) == len(rest) == (loop["trained"]["steps"] if command == "train-supernet" else 0)
    result = "supernet.pth" if command == "train-supernet" else "detector.pth"
    assert (tmp_path / "resumed" / result).read_bytes() == (tmp_path / "straight" / result).read_bytes()


def test_results_for_people_are_on_stdout_and_progress_on_stderr(
    loop: dict[str, Any], options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["evolve", "shapes", str(loop["supernet"]), "--work-dir", str(tmp_path), "--strategy", "random"]
    assert run([*arguments, *options]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("evaluated 8 candidates")
    assert str(tmp_path / "best.json") in captured.out
    assert captured.err.splitlines()[-1].startswith("search: 8/8 generation")
    assert run([*arguments, "--resume", "-q", *options]) == 0
    assert capsys.readouterr().err == ""


def test_quickstart_runs_the_whole_loop(
    tiny_options: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from opanas_cli.detection.data import shapes

    generate = shapes.generate_shapes
    monkeypatch.setattr(shapes, "generate_shapes", lambda root, **_: generate(root, num_train=12, num_val=6))
    small = [option for option in (*tiny_options, *NARROW) if not option.startswith("data_root=")]
    document = call("quickstart", "--work-dir", tmp_path, "--device", "cpu", "--cfg-options", *small)
    winner, fpn = document["stages"]["compare"]["networks"]
    assert (winner["name"], winner["genotype"]) == ("winner", document["winner"])
    assert (fpn["name"], fpn["genotype"]) == ("fpn", None)
    assert fpn["macs"] == pytest.approx(winner["macs"], rel=0.05)
    assert document["winner"].count("|") == 1
    assert {"data", "best", "history", "drawing", "config", "comparison"} <= set(document["files"])
    assert json.loads(Path(document["files"]["summary"]).read_text()).items() <= {**document, "files": None}.items()
    report = call("report", tmp_path)
    assert (report["candidates"], report["problems"]) == (8, {})
    page = Path(report["files"]["report"]).read_text()
    assert f'<data value="{winner["macs"]}">' in page
    assert document["winner"] in page
    assert all(tmp_path in Path(path).parents for path in document["files"].values())
    before = (tmp_path / "comparison.jsonl").read_text()
    call("quickstart", "--work-dir", tmp_path, "--device", "cpu", "--cfg-options", *small)
    row, again = (json.loads(lines.splitlines()[0]) for lines in (before, (tmp_path / "comparison.jsonl").read_text()))
    assert row["settings"] == again["settings"], "what an earlier run left is replaced by the same"
