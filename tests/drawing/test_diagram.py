import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opanas_cli.drawing import Diagram
from opanas_cli.drawing.diagram import Arrow, Node
from opanas_cli.genotype import PAPER_PATHS, Genotype, PathType
from opanas_cli.genotype.liveness import live_edges, output_nodes


@st.composite
def genotypes(draw: st.DrawFn) -> Genotype:
    kind = draw(st.sampled_from(["dense", "chain"]))
    num_nodes = draw(st.integers(1, 7))
    count = num_nodes if kind == "chain" else num_nodes * (num_nodes + 1) // 2
    return Genotype.of(draw(st.lists(st.sampled_from(PAPER_PATHS), min_size=count, max_size=count)), kind)


@given(genotypes())
@settings(deadline=None, max_examples=100)
def test_live_arrows_are_the_live_edges_and_the_sum(genotype: Genotype) -> None:
    for hide_dead in (False, True):
        diagram = Diagram.of(genotype, hide_dead=hide_dead)
        names = [node.name for node in diagram.nodes]
        live = {(names[a.source], names[a.target], a.path) for a in diagram.arrows if a.is_live}
        paths = {("P" if e.source == 0 else f"x{e.source}", f"x{e.target}", path) for e, path in live_edges(genotype)}
        sums = {(f"x{node}", "O", None) for node in output_nodes(genotype)}
        assert live == paths | sums


@given(genotypes())
@settings(deadline=None, max_examples=100)
def test_dead_parts_are_all_shown_or_all_hidden(genotype: Genotype) -> None:
    shown, hidden = Diagram.of(genotype), Diagram.of(genotype, hide_dead=True)
    assert sum(arrow.path is not None for arrow in shown.arrows) == len(genotype.edges)
    assert len(shown.nodes) == genotype.num_nodes + 2
    assert all(arrow.is_live for arrow in hidden.arrows)
    assert all(node.is_live for node in hidden.nodes[:-1])


def test_a_dead_node_is_dead_and_its_place_closes_when_hidden(half_dead: Genotype) -> None:
    nodes = [Node("P", True), Node("x1", True), Node("x2", False), Node("x3", True), Node("O", True)]
    assert list(Diagram.of(half_dead).nodes) == nodes
    hidden = Diagram.of(half_dead, hide_dead=True)
    assert [node.name for node in hidden.nodes] == ["P", "x1", "x3", "O"]
    assert hidden.inputs(2) == (Arrow(1, 2, PathType.SCALE_EQUALIZING, True),)


def test_the_output_of_a_chain_is_its_last_node(chain: Genotype) -> None:
    diagram = Diagram.of(chain)
    assert diagram.inputs(4) == (Arrow(3, 4, None, True),)


def test_a_genotype_without_output_has_a_dead_output() -> None:
    assert Diagram.of(Genotype.of(["none"])).nodes[-1] == Node("O", False)


@pytest.mark.parametrize(
    ("title", "shown"), [("two\nlines", "two lines"), ("  a  b ", "a b"), ("", ""), ("a\x1b[31m\udcff", "a�[31m�")]
)
def test_a_title_is_one_line(opa: Genotype, title: str, shown: str) -> None:
    assert Diagram.of(opa, title).title == shown


def test_the_caption_counts_live_edges(opa: Genotype) -> None:
    assert Diagram.of(opa).caption == "dense, N = 5, 12 of 15 edges live"
