from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from opanas_cli.commands import run
from opanas_cli.formats import dump_record, resolve_genotype, resolve_record

MMDET_TRAINING = """
import os, runpy, sys

# Only for its stand-ins of mmcv's compiled operators; a compiled mmcv needs no such line.
import opanas_cli.detection
import mmdet
from mmengine.runner import Runner

kept = []
train = Runner.train
Runner.train = lambda self: kept.append(self) or train(self)
runpy.run_path(os.path.join(os.path.dirname(mmdet.__file__), ".mim", "tools", "train.py"), run_name="__main__")
(runner,) = kept
print("NECK", type(runner.model.neck).__module__, runner.iter, sorted(runner.test()))
"""

NARROW = (
    "model.backbone.base_channels=8",
    "model.backbone.stem_channels=8",
    "model.neck.in_channels=[8,16,32,64]",
    "model.neck.deformable=True",
)


@pytest.mark.parametrize("standalone", [True, False], ids=["standalone", "plain"])
def test_mmdets_own_tool_trains_what_was_exported(
    tiny_options: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str], standalone: bool
) -> None:
    folder, elsewhere = tmp_path / "exported", tmp_path / "elsewhere"
    elsewhere.mkdir()
    config = folder / "winner.py"
    folder.mkdir()
    flags = ["--standalone"] if standalone else []
    options = ["--to", "mmdet-config", "--dataset", "shapes", "--cfg-options", *tiny_options, *NARROW]
    assert run(["export", "opa-fpn", "-o", str(config), *flags, *options]) == 0
    assert sorted(path.name for path in folder.iterdir()) == ["winner.py", "winner_neck.py"][: 1 + standalone]
    if standalone:
        assert "opanas" not in config.read_text()
    command = [sys.executable, "-c", MMDET_TRAINING, str(config), "--work-dir", str(elsewhere / "work")]
    process = subprocess.run(command, cwd=elsewhere, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr[-3000:]
    said = process.stdout.split("NECK ")[1].split(maxsplit=2)
    assert said[0] == ("winner_neck" if standalone else "opanas_cli.necks.opa_fpn")
    assert int(said[1]) == 3
    assert ("coco/bbox_mAP" if standalone else "AP") in said[2]


def test_without_a_file_the_text_is_printed_and_loads(
    tiny_options: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from opanas_cli.detection.configs.files import load_config

    options = ["--to", "mmdet-config", "--dataset", "shapes", "--cfg-options", *tiny_options]
    assert run(["export", "opa-fpn", *options]) == 0
    printed = capsys.readouterr().out
    file = tmp_path / "printed.py"
    file.write_text(printed)
    neck = load_config(str(file)).model.neck
    assert resolve_genotype(neck.genotype) == resolve_genotype("opa-fpn")

    assert run(["export", "opa-fpn", "--json", *options]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["to"] == "mmdet-config"
    assert document["text"] == printed
    assert document["files"] == {}


@pytest.mark.parametrize("form", ["json", "text", "released"])
def test_genotype_formats(tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str) -> None:
    assert run(["export", "opa-fpn", "--to", form]) == 0
    assert capsys.readouterr().out.rstrip("\n") == dump_record(resolve_record("opa-fpn"), form).rstrip("\n")
    file = tmp_path / f"genotype.{form}"
    assert run(["export", "opa-fpn", "--to", form, "-o", str(file)]) == 0
    assert str(file) in capsys.readouterr().out
    assert file.read_text() == dump_record(resolve_record("opa-fpn"), form)


@pytest.mark.parametrize(("form", "start"), [("dot", "digraph"), ("mermaid", "flowchart"), ("graphml", "<graphml")])
def test_graph_formats(capsys: pytest.CaptureFixture[str], form: str, start: str) -> None:
    assert run(["export", "opa-fpn", "--to", form]) == 0
    assert start in capsys.readouterr().out.splitlines()[0]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--to", "dot", "--detector", "retinanet"], 2, "--detector: is only valid with --to mmdet-config"),
        (["--to", "json", "--num-classes", "3"], 2, "--num-classes: is only valid with --to mmdet-config"),
        (["--to", "text", "--standalone"], 2, "--standalone: is only valid with --to mmdet-config"),
        (["--to", "mmdet-config", "--standalone"], 2, "--standalone: writes two files; choose one with -o FILE"),
        (["--to", "mmdet2-config"], 2, "--to mmdet2-config: writes two files; choose one with -o FILE"),
        (["--to", "mmdet-config", "--standalone", "-o", "my-neck.py"], 2, "my-neck.py cannot be imported from"),
        (["--to", "mmdet-config", "--dataset", "shapes", "--num-classes", "4"], 2, "is read with 3 classes"),
        (["--to", "mmdet-config", "--dataset", "cocoo"], 3, "did you mean 'coco'?"),
        (
            ["--to", "tensorrt"],
            2,
            "'tensorrt' is not an export format; choose one of mmdet-config, mmdet2-config, onnx, pt2, dot,",
        ),
    ],
)
def test_contradictions_are_one_clear_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["export", "opa-fpn", *arguments]) == code
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_dead_genotype_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "dead.txt"
    file.write_text("none|none,td\n")
    assert run(["export", str(file), "--to", "mmdet-config", "--dataset", "shapes"]) == 3
    captured = capsys.readouterr()
    assert "the output is dead" in captured.err
    assert captured.out == ""
