"""What drawings show besides a genotype: edges that differ from a first one, edge importances, costs."""

import re
from pathlib import Path

import pytest

from opanas_cli.drawing import Diagram, Notes
from opanas_cli.drawing.diagram import HIGHLIGHT, THINNEST, WIDEST
from opanas_cli.drawing.dot import to_dot
from opanas_cli.drawing.figure import save_figure
from opanas_cli.drawing.mermaid import to_mermaid
from opanas_cli.drawing.page import to_html
from opanas_cli.drawing.terminal import to_text
from opanas_cli.genotype import Genotype, PathType
from opanas_cli.search.cost import Cost

FIRST = Genotype.of(["top_down", "bottom_up", "skip_connect"])
OTHER = Genotype.of(["top_down", "none", "scale_equalizing"])
"""Differs on 0->2, where it has nothing, and on 1->2."""


@pytest.fixture
def differing() -> Diagram:
    return Diagram.of(OTHER, "other", notes=Notes(reference=FIRST))


@pytest.fixture
def weighted() -> Diagram:
    return Diagram.of(FIRST, "first", notes=Notes(importances=(0.5, -2.0, 0.001)))


def svg(diagram: Diagram, folder: Path) -> str:
    save_figure([diagram], folder / "figure.svg", ".svg")
    return (folder / "figure.svg").read_text(encoding="utf-8")


def test_the_edges_with_another_path_differ(differing: Diagram) -> None:
    found = {(arrow.source, arrow.target): arrow.instead_of for arrow in differing.arrows if arrow.differs}
    assert found == {(0, 2): PathType.BOTTOM_UP, (1, 2): PathType.SKIP_CONNECT}
    assert differing.caption == "dense, N = 2, 2 of 3 edges live, 2 not as in the first"


def test_a_genotype_does_not_differ_from_itself() -> None:
    same = Diagram.of(FIRST, notes=Notes(reference=FIRST))
    assert not any(arrow.differs for arrow in same.arrows)
    assert same.caption.endswith(", 0 not as in the first")


def test_every_form_marks_what_differs(differing: Diagram, tmp_path: Path) -> None:
    dot = to_dot([differing])
    colour = PathType.SCALE_EQUALIZING.colour
    assert f'x1 -> x2 [label="SE*", penwidth=2, color="{HIGHLIGHT}:{colour}:{HIGHLIGHT}"' in dot
    assert 'P -> x2 [label="none*", style=dotted' in dot
    mermaid = to_mermaid([differing])
    assert 'x1 -->|"SE*"| x2' in mermaid
    assert 'P -.->|"none*"| x2' in mermaid
    text = to_text([differing]).plain
    assert "P ──── TD     ·*\n" in text
    assert "x2 = SE*(x1)" in text
    assert text.endswith("* not as in the first")
    picture = svg(differing, tmp_path)
    assert {"SE*", "none*", "* not as in the first"} <= set(re.findall(r">([^<>]+)</text>", picture))
    assert picture.lower().count(f"stroke: {HIGHLIGHT.lower()}") == 3  # Two edges and the legend.
    page = to_html([differing])
    assert page.count('class="differs"') == 2
    assert "<title>x1 to x2: scale-equalizing, in the first skip-connect</title>" in page
    assert all("TD*" not in form for form in (dot, mermaid, text, picture, page))


def test_no_form_marks_anything_without_a_reference(tmp_path: Path) -> None:
    diagram = Diagram.of(FIRST)
    forms = [to_dot([diagram]), to_mermaid([diagram]), to_text([diagram]).plain, svg(diagram, tmp_path)]
    assert all(mark not in form.upper() for form in forms for mark in (HIGHLIGHT, "TD*", "NOT AS IN"))


def test_asterisks_do_not_shift_a_row() -> None:
    """The longest name with its mark fills a cell of a large picture."""
    skips, nothing = Genotype((PathType.SKIP_CONNECT,) * 66), Genotype((PathType.NONE,) * 66)
    plain, marked = (
        to_text([Diagram.of(skips, notes=notes)]).plain.split("\n\n")[1].splitlines()
        for notes in (Notes(), Notes(reference=nothing))
    )
    assert [line.count("skip*") for line in marked[::2]] == [line.count("skip") for line in plain[::2]]
    for before, after in zip(plain, marked, strict=True):
        places = [match.start() for match in re.finditer("skip", before)]
        assert places == [match.start() for match in re.finditer("skip", after)]


def test_width_is_proportional_to_the_importance_without_its_sign(weighted: Diagram, tmp_path: Path) -> None:
    arrows = {(arrow.source, arrow.target): arrow for arrow in weighted.arrows}
    # Flat order is 0->1, 0->2, 1->2.
    assert [arrows[edge].importance for edge in ((0, 1), (0, 2), (1, 2))] == [0.5, -2.0, 0.001]
    assert [arrows[edge].width for edge in ((0, 1), (0, 2), (1, 2))] == [WIDEST / 4, WIDEST, THINNEST]
    assert arrows[1, 3].importance is None  # A sum.
    assert f"penwidth={2 * WIDEST:g}," in to_dot([weighted])
    assert f"stroke-width:{2 * WIDEST / 4:g}px" in to_mermaid([weighted])
    assert "x2 = -2 BU(P) + 0.001 skip(x1)" in to_text([weighted]).plain
    picture = svg(weighted, tmp_path)
    assert "width: |γ|, here 2" in picture
    # In matplotlib's points: the edge and the sample of the legend, which is as wide.
    assert picture.count(f"stroke-width: {1.8 * WIDEST:g}") == 2
    page = to_html([weighted])
    assert f"--width: {1.9 * WIDEST:.3g}px" in page
    assert "<title>P to x2: bottom-up, γ -2.000</title>" in page


def test_importances_may_all_be_zero(tmp_path: Path) -> None:
    diagram = Diagram.of(FIRST, notes=Notes(importances=(0.0, 0.0, 0.0)))
    assert {arrow.width for arrow in diagram.arrows if arrow.path} == {THINNEST}
    assert "here 0" in svg(diagram, tmp_path)


def test_a_page_has_the_costs_of_live_edges() -> None:
    costs = {
        PathType.TOP_DOWN: Cost(macs=3_000_000, params=1234),
        PathType.SCALE_EQUALIZING: Cost(macs=5_000_000_000, params=0),
        PathType.NONE: Cost(macs=0, params=0),
    }
    diagram = Diagram.of(OTHER, notes=Notes(costs=costs))
    page = to_html([diagram])
    assert "<title>P to x1: top-down, parameters 1.234K, MACs 3M</title>" in page
    assert "<title>x1 to x2: scale-equalizing, parameters 0, MACs 5G</title>" in page
    assert "<title>P to x2: none, dead</title>" in page
    rows = [[re.sub("<[^>]+>", "", cell) for cell in re.findall("<td>(.*?)</td>", row)]
            for row in re.findall("<tr>(.*?)</tr>", page[page.index("<details") :])]  # fmt: skip
    assert ["P to x1", "top-down", "1234", "3M"] in rows
    assert ["P to x2", "none, dead", "–", "–"] in rows
