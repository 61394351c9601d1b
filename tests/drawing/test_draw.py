from pathlib import Path

import pytest

from opanas_cli.drawing import SUFFIXES, Diagram, draw, drawing_suffix
from opanas_cli.errors import OpanasError, UsageError
from opanas_cli.genotype import Genotype

BEGINNINGS = {
    ".svg": b"<?xml",
    ".png": b"\x89PNG",
    ".pdf": b"%PDF",
    ".dot": b"digraph",
    ".mmd": b"flowchart",
    ".html": b"<!DOCTYPE html>",
}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_suffix_decides_on_the_form(opa: Genotype, chain: Genotype, tmp_path: Path, suffix: str) -> None:
    for name in ("new/drawing", "DRAWING"):
        path = tmp_path / (name + (suffix.upper() if name.isupper() else suffix))
        assert draw([Diagram.of(opa, "one"), Diagram.of(chain, "two")], path) == path
        assert path.read_bytes().startswith(BEGINNINGS[suffix])
        assert [other.name for other in path.parent.iterdir() if other.is_file()] == [path.name]


def test_dead_parts_can_be_hidden(half_dead: Genotype, tmp_path: Path) -> None:
    shown = draw([Diagram.of(half_dead)], tmp_path / "shown.dot").read_text()
    hidden = draw([Diagram.of(half_dead, hide_dead=True)], tmp_path / "hidden.dot").read_text()
    assert "x2" in shown
    assert "x2" not in hidden


@pytest.mark.parametrize("name", ["drawing.gif", "drawing", "drawing.svg.gz"])
def test_an_unknown_suffix_names_the_known_ones(opa: Genotype, tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"\.svg, \.png, \.pdf, \.dot, \.mmd, \.html, but got"):
        draw([Diagram.of(opa)], tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_the_suffix_may_be_in_capitals() -> None:
    assert drawing_suffix(Path("A.SVG")) == ".svg"


def test_a_folder_that_cannot_be_written_to(opa: Genotype, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    for suffix in (".svg", ".dot"):
        with pytest.raises(OpanasError, match="cannot be written"):
            draw([Diagram.of(opa)], tmp_path / "file" / f"drawing{suffix}")
