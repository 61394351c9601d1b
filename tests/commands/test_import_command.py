"""`opanas import-weights`, and what takes its files: the test of `opanas retrain`, and that of mmdet."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from opanas_cli.commands import run
from opanas_cli.detection.quiet import silenced


@pytest.fixture
def released(tiny_options: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint in mmdet 2's layout whose neck has one top-down path, beside ``data.py``, which has its data."""
    from opanas_cli.detection.configs.building import build_detector
    from opanas_cli.detection.configs.files import load_config
    from opanas_cli.detection.exporting.detector_config import export_config
    from opanas_cli.formats import resolve_genotype

    monkeypatch.chdir(tmp_path)
    options = (*tiny_options, *(f"model.neck.{name}=None" for name in ("norm_cfg", "output_norm_cfg")))
    Path("data.py").write_text(load_config("shapes", options).pretty_text)
    genotype = resolve_genotype(["top_down"])
    torch.manual_seed(0)
    detector = build_detector(export_config(genotype, "data.py", overrides=("model.neck.deformable=True",)))
    state = {}
    for name, value in detector.state_dict().items():
        for ours, theirs in (
            ("input_pyramid.laterals.0", "lateral_convs.0.conv"),
            ("input_pyramid.laterals.1", "lateral_convs.1.conv"),
            ("input_pyramid.laterals.2", "lateral_convs.2.conv"),
            ("input_pyramid.laterals.3", "lateral_convs.3.conv"),
            ("input_pyramid.context", "topcontext.0.conv"),
            ("paths.0_1.top_down.convs", "features.0.tdm_convs"),
        ):
            name = name.replace(f"neck.{ours}.", f"neck.{theirs}.")
        # The boxes are anchors, by the scores that the neck gives them, and all of the first class.
        state[name] = torch.zeros_like(value) if "_reg." in name or "fc_cls." in name else value
    state["roi_head.bbox_head.fc_cls.bias"][0] = 2.0
    offsets = "neck.features.0.tdm_convs.{}.conv_offset.weight"
    state[offsets.format(0)] = state[offsets.format(1)]
    torch.save({"meta": {"mmdet_version": "2.4.0"}, "state_dict": state}, "released.pth")
    return Path("released.pth")


def import_it(genotype: str = "td", *options: str) -> tuple[str, ...]:
    Path("td.txt").write_text(genotype)
    return ("import-weights", "released.pth", "--genotype", "td.txt", "--dataset", "data.py", "-o", "own.pth", *options)


def test_the_imported_detector_is_tested_by_opanas_and_by_mmdet(
    released: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*import_it(), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["files"] == {"checkpoint": "own.pth", "config": "own.py"}
    assert (document["detector"], document["channels"]) == ("faster-rcnn", 8)
    assert document["unused"] == ["neck.features.0.tdm_convs.0.conv_offset.weight"]

    assert (
        run(["retrain", "own.py", "--test-only", "own.pth", "--work-dir", "tested", "--device", "cpu", "--json"]) == 0
    )
    metrics = json.loads(capsys.readouterr().out)["metrics"]
    config = Config.fromfile("own.py")  # As mmdet's tools/test.py does it.
    config.update(load_from="own.pth", work_dir="mmdet")
    with silenced():
        theirs = Runner.from_cfg(config).test()
    assert metrics["AP"] > 0
    assert metrics == {name: theirs[name] for name in metrics}
    assert not list(Path("tested").rglob("detector.pth"))


def test_the_terminal_names_what_is_not_used(released: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(import_it()) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"detector faster-rcnn, channels 8, tensors {len(torch.load(released)['state_dict']) - 1}",
        "not used, and left out: neck.features.0.tdm_convs.0.conv_offset",
        "  checkpoint  own.pth",
        "  config      own.py",
    ]


def test_what_does_not_fit_is_named_and_nothing_is_written(released: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(import_it("bu")) == 3
    lines = capsys.readouterr().err.splitlines()
    named = [line.removeprefix("opanas: warning: ") for line in lines[:-1]]
    assert "neck.features.0.tdm_convs.0.weight: is not in the detector" in named
    assert "neck.paths.0_1.bottom_up.convs.3.conv_offset.bias: is missing" in named
    assert lines[-1].startswith(
        f"opanas: released.pth: {len(named)} weights differ from the detector of td.txt and data.py"
    )
    assert not list(Path().glob("own.*"))


def test_contradictions_are_one_line(released: Path, refused: Callable[..., str], tmp_path: Path) -> None:
    names = ("import-weights", released, "--genotype", "opa-fpn", "--dataset", "data.py")
    assert "-o: names the checkpoint, but own.py would be the config" in refused(2, *names, "-o", "own.py")
    for output, name in (("released.pth", "released.pth"), ("data.pth", "data.py")):
        assert refused(2, *names, "-o", output) == f"-o: would overwrite {name}, which is read; choose another name"
    assert "nothing.pth: no such checkpoint" in refused(3, "import-weights", "nothing.pth", *names[2:], "-o", "own.pth")
    assert run(import_it()) == 0
    test = ("retrain", "own.py", "--work-dir", tmp_path / "w", "--device", "cpu", "--test-only")
    line = refused(3, *test, released)
    assert line.startswith("released.pth: does not match the config's network: 'neck.input_pyramid")
    assert refused(2, *test, "own.pth", "--amp") == "--test-only: trains nothing; leave out --amp"


def test_a_trained_detector_has_the_ap_of_its_training(
    tiny_options: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def metrics(*more: str) -> dict[str, float]:
        options = ("--genotype", "fpn", "--work-dir", str(tmp_path), "--device", "cpu", "--json")
        assert run(["retrain", "shapes", *options, *more, "--cfg-options", *tiny_options]) == 0
        return dict(json.loads(capsys.readouterr().out)["metrics"])

    trained = metrics()
    assert metrics("--test-only", str(tmp_path / "detector.pth")) == trained
