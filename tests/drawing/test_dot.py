import re

from opanas_cli.drawing import Diagram
from opanas_cli.drawing.diagram import FADED
from opanas_cli.drawing.dot import to_dot
from opanas_cli.genotype import Genotype, PathType

STRING = r'"(?:[^"\\]|\\.)*"'
VALUE = rf"(?:{STRING}|[\w.]+)"
ATTRIBUTES = rf"\[\w+={VALUE}(, \w+={VALUE})*\]"
STATEMENT = re.compile(rf"(digraph \w+ {{|subgraph \w+ {{|}}|\w+={VALUE};|\w+ {ATTRIBUTES};|\w+ -> \w+ {ATTRIBUTES};)")


def check_grammar(text: str) -> None:
    """The part of the DOT grammar that we write: one statement a line, braces in balance."""
    for line in text.splitlines():
        assert STATEMENT.fullmatch(line.strip()), line
    assert text.count("{") == text.count("}")


def test_every_edge_is_an_arrow_with_its_colour(opa: Genotype) -> None:
    text = to_dot([Diagram.of(opa)])
    check_grammar(text)
    assert text.count("->") == 15 + 5
    assert f'P -> x3 [label="FS", penwidth=2, color="{PathType.FUSING_SPLITTING.colour}"' in text
    assert f'x1 -> x3 [label="none", style=dotted, color="{FADED}"' in text


def test_dead_parts_can_be_hidden(half_dead: Genotype) -> None:
    assert 'x2 [label="x2", style=dashed' in to_dot([Diagram.of(half_dead)])
    hidden = to_dot([Diagram.of(half_dead, hide_dead=True)])
    assert "x2" not in hidden
    assert "none" not in hidden


def test_several_genotypes_are_clusters_that_share_no_node(opa: Genotype, chain: Genotype) -> None:
    text = to_dot([Diagram.of(opa, "one"), Diagram.of(chain, "two")])
    check_grammar(text)
    assert "subgraph cluster_1" in text
    assert "subgraph cluster_2" in text
    assert "g1_P -> g1_x1" in text
    assert "g2_P -> g2_x1" in text
    assert not re.search(r"g1_\w+ -> g2_", text)


def test_a_title_cannot_break_out_of_its_quotes(chain: Genotype) -> None:
    text = to_dot([Diagram.of(chain, 'a"]; b -> c; \\N \\')])
    assert 'label="a\\"]; b -> c; \\\\N \\\\";' in text
    check_grammar("\n".join(line for line in text.splitlines() if not line.strip().startswith("label=")))
