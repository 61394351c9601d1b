import re

from opanas_cli.drawing import Diagram
from opanas_cli.drawing.mermaid import to_mermaid
from opanas_cli.genotype import Genotype, PathType


def test_arrows_carry_their_paths(opa: Genotype) -> None:
    lines = [line.strip() for line in to_mermaid([Diagram.of(opa)]).splitlines()]
    assert lines[0] == "flowchart LR"
    assert 'P -->|"FS"| x3' in lines
    assert 'x1 -.->|"none"| x3' in lines
    assert "x5 --> O" in lines


def test_every_arrow_has_the_style_of_its_number(opa: Genotype, chain: Genotype) -> None:
    text = to_mermaid([Diagram.of(opa), Diagram.of(chain)])
    arrows = [line for line in text.splitlines() if re.search(r"-\.?->", line)]
    styles = [line.strip() for line in text.splitlines() if "linkStyle" in line]
    assert [style.split()[1] for style in styles] == [str(number) for number in range(len(arrows))]
    for arrow, style in zip(arrows, styles, strict=True):
        assert ('"BU"' in arrow) == (PathType.BOTTOM_UP.colour in style)


def test_several_genotypes_are_subgraphs_that_share_no_node(opa: Genotype, chain: Genotype) -> None:
    text = to_mermaid([Diagram.of(opa, "one"), Diagram.of(chain, "two")])
    assert 'subgraph s1["one"]' in text
    assert 'subgraph s2["two"]' in text
    assert text.count("\n  end\n") == 2
    assert not re.search(r"^ +(P|x\d|O)\b", text, re.MULTILINE)


def test_dead_parts_can_be_hidden(half_dead: Genotype) -> None:
    assert 'x2(("x2")):::dead' in to_mermaid([Diagram.of(half_dead)])
    hidden = to_mermaid([Diagram.of(half_dead, hide_dead=True)])
    assert "x2" not in hidden
    assert "-.->" not in hidden


def test_a_title_cannot_break_out_of_its_quotes(chain: Genotype) -> None:
    text = to_mermaid([Diagram.of(chain, 'a"] --> <b>`#1')])
    assert 'subgraph s1["a#quot;] --#gt; #lt;b#gt;#96;#35;1"]' in text
