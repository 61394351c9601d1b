"""Exporters are found through entry points, and a bad plug-in never stops the others."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from opanas_cli.commands import run
from opanas_cli.errors import OpanasError, UsageError
from opanas_cli.exporters.exporter import ExportedFile, Exporter, checked_files
from opanas_cli.exporters.registry import EXPORTERS

EDGES = Exporter(
    "edges",
    lambda request: [
        ExportedFile("edges", len(request.record.genotype.paths).to_bytes(2, "big")),
        ExportedFile("notes", f"of {request.name}, {dict(request.options)}", "notes.txt"),
    ],
    frozenset({"channels"}),
)
WEIGHED = Exporter(
    "weighed",
    lambda request: [ExportedFile("weighed", request.weights.read_bytes() if request.weights else b"")],
    needs_weights=True,
)
ANOTHER_NAME = Exporter("another", lambda request: [])
NAME_OF_A_FORMAT = Exporter("json", lambda request: [])
NO_FUNCTION = Exporter("edges", None)
UNKNOWN_OPTION = Exporter("edges", lambda request: [], frozenset({"depth"}))
NO_EXPORTER = 7


def point(name: str, attribute: str) -> EntryPoint:
    return EntryPoint(name, f"{__name__}:{attribute}", EXPORTERS.group)


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])


def test_what_there_is() -> None:
    assert set(EXPORTERS.all) == {*EXPORTERS.built_in, "json", "released", "text", "graphml"}
    assert all(exporter.name == name for name, exporter in EXPORTERS.all.items())


@pytest.mark.parametrize(
    ("name", "attribute", "reason"),
    [
        ("edges", "NO_EXPORTER", "expected Exporter, but got 7"),
        ("edges", "ANOTHER_NAME", "it calls itself 'another'"),
        ("json", "NAME_OF_A_FORMAT", "the name 'json' is that of a genotype format"),
        ("edges", "MISSING", "AttributeError"),
        ("edges", "NO_FUNCTION", "files must be a function, but got None"),
        ("edges", "UNKNOWN_OPTION", "options must be a frozenset of some of backbone, "),
    ],
)
def test_a_bad_exporter_is_skipped(name: str, attribute: str, reason: str) -> None:
    with pytest.warns(RuntimeWarning, match=reason):
        assert EXPORTERS.load([point(name, attribute), point("edges", "EDGES")]) == {"edges": EDGES}


def test_an_exporter_of_a_plug_in(
    tmp_path: Path, plug_in: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    plug_in(EXPORTERS, point("edges", "EDGES"))
    line = ["export", "panet", "--to", "edges", "--channels", "8"]
    assert run(line) == 2
    assert capsys.readouterr().err == "opanas: --to edges: writes several files; choose a file with -o FILE\n"
    assert run([*line, "-o", str(tmp_path / "panet.edges")]) == 0
    assert (tmp_path / "panet.edges").read_bytes() == b"\x00\x02"
    assert (tmp_path / "notes.txt").read_text() == "of panet, {'channels': 8}"
    assert run([*line, "--standalone"]) == 2
    assert "--standalone: is only valid with --to mmdet-config" in capsys.readouterr().err


def test_an_exporter_that_needs_weights(
    tmp_path: Path, plug_in: Callable[..., None], refused: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    plug_in(EXPORTERS, point("weighed", "WEIGHED"))
    weights = tmp_path / "detector.pth"
    weights.write_bytes(b"\x00weights")
    output = ["-o", tmp_path / "panet.bin"]
    line = refused(2, "export", "panet", "--to", "weighed", *output)
    assert line == "--to weighed: needs the weights of a detector; add --weights CHECKPOINT"
    line = refused(2, "export", "panet", "--to", "dot", "--weights", weights)
    assert line == "--weights: is not valid with --to dot, which writes no weights"
    assert "does not exist" in refused(2, "export", "panet", "--to", "weighed", "--weights", tmp_path / "none.pth")
    assert run(["export", "panet", "--to", "weighed", "--weights", str(weights), *map(str, output)]) == 0
    assert (tmp_path / "panet.bin").read_bytes() == b"\x00weights"


@pytest.mark.parametrize(
    "files",
    [
        [],
        [ExportedFile("a", "", "a.txt")],
        [ExportedFile("a", ""), ExportedFile("b", "")],
        [ExportedFile("a", ""), ExportedFile("b", "", "out.py")],
        [ExportedFile("a", ""), ExportedFile("a", "", "b.txt")],
        [ExportedFile("a", ""), ExportedFile("b", "", "../b.txt")],
        [ExportedFile("a", ""), ExportedFile("b", "", "b.txt"), ExportedFile("c", "", "b.txt")],
    ],
)
def test_no_file_is_written_over_another_or_elsewhere(files: list[ExportedFile], tmp_path: Path) -> None:
    with pytest.raises(OpanasError, match="the exporter 'edges' gives"):
        checked_files(EDGES, files, tmp_path / "out.py")


def test_bytes_do_not_go_to_stdout() -> None:
    with pytest.raises(UsageError, match="--to edges: is not text; choose a file with -o FILE"):
        checked_files(EDGES, [ExportedFile("a", b"")], None)


@pytest.mark.parametrize(
    ("name", "how"), [("b.txt", "draw it by opanas viz {}"), ("b.text", "opanas reads it if its name ends in .txt")]
)
def test_a_format_says_how_it_is_read(name: str, how: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["export", "panet", "--to", "text", "-o", str(tmp_path / name)]) == 0
    assert how.format(tmp_path / name) in capsys.readouterr().out
