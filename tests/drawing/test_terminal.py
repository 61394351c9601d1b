from textwrap import dedent

import pytest

from opanas_cli.drawing import Diagram
from opanas_cli.drawing.terminal import to_text
from opanas_cli.genotype import Genotype, PathType


def drawing(*diagrams: Diagram, ascii_only: bool = False) -> str:
    return to_text(diagrams, ascii_only).plain


def test_the_published_genotype(opa: Genotype) -> None:
    expected = """\
        opa-fpn
        dense, N = 5, 12 of 15 edges live

        P ──── TD ─── TD ─── FS ─── BU ─── BU
               ▼      │      │      │      │
               x1 ─── TD ─── · ──── skip   ·
               ┊      ▼      │      │      │
               ┊      x2 ─── skip ─ · ──── FS
               ┊      ┊      ▼      │      │
               ┊      ┊      x3 ─── TD ─── SE
               ┊      ┊      ┊      ▼      │
               ┊      ┊      ┊      x4 ─── BU
               ┊      ┊      ┊      ┊      ▼
               ┊      ┊      ┊      ┊      x5
               ┊      ┊      ┊      ┊      ┊
               └──────┴──────┴──────┴──────┴──▶ O

        x1 = TD(P)
        x2 = TD(P) + TD(x1)
        x3 = FS(P) + skip(x2)
        x4 = BU(P) + skip(x1) + TD(x3)
        x5 = BU(P) + FS(x2) + SE(x3) + BU(x4)
        O  = x1 + x2 + x3 + x4 + x5

        TD top-down   BU bottom-up   SE scale-equalizing   FS fusing-splitting   skip skip-connect"""
    assert drawing(Diagram.of(opa, "opa-fpn")) == dedent(expected)


def test_dead_parts_are_shown_without_lines(half_dead: Genotype) -> None:
    expected = """\
        dense, N = 3, 2 of 6 edges live

        P ──── TD     ·      ·
               ▼
               x1 ─── · ──── SE
               ┊             │
               ┊      x2     FS
               ┊             ▼
               ┊             x3
               ┊             ┊
               └─────────────┴──▶ O

        x1 = TD(P)
        x2 = 0, dead
        x3 = SE(x1)
        O  = x1 + x3

        TD top-down   SE scale-equalizing"""
    assert drawing(Diagram.of(half_dead)) == dedent(expected)


def test_hidden_parts_leave_no_trace(half_dead: Genotype) -> None:
    text = drawing(Diagram.of(half_dead, hide_dead=True))
    assert "x2" not in text
    assert "FS" not in text
    assert "·" not in text


def test_lines_cross_where_a_hidden_edge_was(opa: Genotype) -> None:
    assert "x1 ─── TD ─── ┼ ──── skip   │" in drawing(Diagram.of(opa, hide_dead=True))


def test_ascii_says_the_same(opa: Genotype) -> None:
    text = drawing(Diagram.of(opa, "für"), ascii_only=True)
    assert text.isascii()
    assert text.startswith("f?r\n")
    assert "x1 --- TD --- . ---- skip   ." in text


@pytest.mark.parametrize("num_nodes", [8, 12])
def test_the_picture_fits_on_eighty_columns(num_nodes: int) -> None:
    genotype = Genotype.of(["skip_connect"] * (num_nodes * (num_nodes + 1) // 2))
    picture = drawing(Diagram.of(genotype)).split("\n\n")[1]
    assert max(map(len, picture.splitlines())) <= 80


def test_paths_have_their_colours(chain: Genotype) -> None:
    text = to_text([Diagram.of(chain)])
    styled = {(text.plain[span.start : span.end], str(span.style)) for span in text.spans}
    assert ("TD", f"bold {PathType.TOP_DOWN.colour}") in styled


def test_several_genotypes_follow_each_other_with_one_legend(opa: Genotype, chain: Genotype) -> None:
    text = drawing(Diagram.of(opa, "one"), Diagram.of(chain, "two"))
    assert text.index("one") < text.index("two")
    assert text.count("top-down") == 1


def test_a_genotype_without_output_can_be_drawn() -> None:
    assert "O  = 0, dead" in drawing(Diagram.of(Genotype.of(["none"])))
