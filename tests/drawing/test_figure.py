import xml.etree.ElementTree as ET
from pathlib import Path

import matplotlib
import pytest

from opanas_cli.drawing import Diagram
from opanas_cli.drawing.figure import save_figure
from opanas_cli.genotype import Genotype, PathType

SVG = "{http://www.w3.org/2000/svg}"


def texts(path: Path) -> list[str]:
    return [element.text or "" for element in ET.parse(path).iter(f"{SVG}text")]


@pytest.fixture
def svg(tmp_path: Path) -> Path:
    return tmp_path / "figure.svg"


def test_an_svg_shows_nodes_paths_and_a_legend(opa: Genotype, svg: Path) -> None:
    save_figure([Diagram.of(opa, "the $x$ <best>")], svg, ".svg")
    shown = texts(svg)
    assert [text for text in shown if text in ("P", "x₁", "x₂", "x₃", "x₄", "x₅", "O")] == [
        "P", "x₁", "x₂", "x₃", "x₄", "x₅", "O"
    ]  # fmt: skip
    assert (shown.count("TD"), shown.count("BU"), shown.count("FS"), shown.count("SE")) == (4, 3, 2, 1)
    assert {"the $x$ <best>", "top-down", "scale-equalizing", "sum", "none or dead"} <= set(shown)
    assert svg.read_text().count(PathType.TOP_DOWN.colour.lower()) >= 4


def test_hidden_parts_are_not_drawn(half_dead: Genotype, svg: Path) -> None:
    save_figure([Diagram.of(half_dead)], svg, ".svg")
    assert {"x₂", "FS", "none or dead"} <= set(texts(svg))
    save_figure([Diagram.of(half_dead, hide_dead=True)], svg, ".svg")
    assert not {"x₂", "FS", "none or dead"} & set(texts(svg))


def test_several_genotypes_are_panels_with_one_legend(opa: Genotype, chain: Genotype, svg: Path) -> None:
    save_figure([Diagram.of(opa, "one"), Diagram.of(chain, "two"), Diagram.of(opa, "three")], svg, ".svg")
    shown = texts(svg)
    assert {"one", "two", "three"} <= set(shown)
    assert shown.count("P") == 3
    assert shown.count("top-down") == 1


@pytest.mark.parametrize(("suffix", "magic"), [(".svg", b"<?xml"), (".png", b"\x89PNG"), (".pdf", b"%PDF")])
def test_the_same_genotype_gives_the_same_bytes(opa: Genotype, tmp_path: Path, suffix: str, magic: bytes) -> None:
    contents = []
    for setting in ("serif", "monospace"):
        with matplotlib.rc_context({"font.family": setting}):
            save_figure([Diagram.of(opa, "opa")], tmp_path / setting, suffix)
            assert matplotlib.rcParams["font.family"] == [setting]
        contents.append((tmp_path / setting).read_bytes())
    assert contents[0].startswith(magic)
    assert contents[0] == contents[1]


@pytest.mark.parametrize("num_nodes", [1, 2, 12])
def test_any_number_of_nodes_can_be_drawn(num_nodes: int, svg: Path) -> None:
    genotype = Genotype.of(["skip_connect"] * (num_nodes * (num_nodes + 1) // 2))
    save_figure([Diagram.of(genotype)], svg, ".svg")
    assert texts(svg).count("skip") == num_nodes * (num_nodes + 1) // 2


def test_a_genotype_without_output_can_be_drawn(svg: Path) -> None:
    save_figure([Diagram.of(Genotype.of(["none"]), hide_dead=True)], svg, ".svg")
    assert {"P", "O"} <= set(texts(svg))
    assert "x₁" not in texts(svg)


def test_letters_that_the_font_lacks_are_no_reason_to_complain(
    chain: Genotype, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    save_figure([Diagram.of(chain, "日本")], tmp_path / "figure.png", ".png")
    assert not recwarn.list


def test_a_long_title_keeps_its_two_ends(chain: Genotype, svg: Path) -> None:
    save_figure([Diagram.of(chain, "a" * 100 + "z" * 100)], svg, ".svg")
    title = next(text for text in texts(svg) if "…" in text)
    assert title.startswith("aaa")
    assert title.endswith("zzz")
    assert len(title) < 50
