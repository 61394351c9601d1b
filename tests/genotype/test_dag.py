"""Genotypes as networkx graphs, and back."""

from __future__ import annotations

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opanas_cli.errors import InvalidGenotypeError
from opanas_cli.formats import resolve_genotype
from opanas_cli.genotype import Genotype, PathType, SearchSpace, SpaceKind
from opanas_cli.genotype.canonical import equivalent
from opanas_cli.genotype.dag import from_digraph, pruned_digraph, to_digraph, validate_digraph
from opanas_cli.genotype.liveness import live_edges, live_nodes, output_nodes, prune, validate


@st.composite
def genotypes(draw: st.DrawFn) -> Genotype:
    """Genotypes of both spaces with up to 6 nodes, `none` as likely as the five other paths together."""
    space = SearchSpace(draw(st.integers(1, 6)), draw(st.sampled_from(SpaceKind)))
    path = st.one_of(st.just(PathType.NONE), st.sampled_from(PathType))
    return Genotype(tuple(draw(path) for _ in space.edges), space.kind)


def naive_live_edges(genotype: Genotype) -> list[tuple[int, int]]:
    """Edges on some way from the input to the output, by reachability in the whole graph."""
    graph = to_digraph(genotype)
    after_input = nx.descendants(graph, 0) | {0}
    before_output = nx.ancestors(graph, "output")
    return [(a, b) for a, b in graph.edges if a in after_input and b in before_output and b in after_input]


@given(genotypes())
@settings(deadline=None, max_examples=200)
def test_live_edges_lie_on_a_way_from_input_to_output(genotype: Genotype) -> None:
    assert sorted(edge for edge, _ in live_edges(genotype)) == sorted(naive_live_edges(genotype))
    assert all(genotype.path(*edge) is path for edge, path in live_edges(genotype))
    assert [edge for edge, _ in live_edges(genotype)] == [
        edge for edge in genotype.edges if edge in dict(live_edges(genotype))
    ]


@given(genotypes())
@settings(deadline=None, max_examples=200)
def test_pruning_is_idempotent_and_keeps_the_output(genotype: Genotype) -> None:
    pruned = prune(genotype)
    assert prune(pruned) == pruned
    assert output_nodes(pruned) == output_nodes(genotype)
    assert live_edges(pruned) == live_edges(genotype)
    assert nx.utils.graphs_equal(pruned_digraph(pruned), pruned_digraph(genotype))


@given(genotypes())
@settings(deadline=None, max_examples=200)
def test_validity_is_a_way_from_input_to_output(genotype: Genotype) -> None:
    graph = to_digraph(genotype)
    if nx.has_path(graph, 0, "output"):
        validate(genotype)
        validate_digraph(graph)
    else:
        for check in (lambda: validate(genotype), lambda: validate_digraph(graph)):
            with pytest.raises(InvalidGenotypeError, match="the output is dead"):
                check()


@given(genotypes())
@settings(deadline=None, max_examples=200)
def test_graphs_round_trip(genotype: Genotype) -> None:
    if not output_nodes(genotype):
        return
    assert from_digraph(to_digraph(genotype)) == genotype
    assert equivalent(from_digraph(pruned_digraph(genotype)), genotype)


def test_the_published_graph() -> None:
    graph = to_digraph(resolve_genotype("opa-fpn"))
    assert list(graph) == [0, 1, 2, 3, 4, 5, "output"]
    assert graph.number_of_edges() == 12 + 5
    assert graph.edges[3, 5]["path"] == "scale_equalizing"
    assert graph.edges[5, "output"]["path"] == "sum"
    assert not graph.has_edge(1, 3)


def test_a_dead_node_and_what_leaves_it_are_pruned() -> None:
    genotype = Genotype.of(["none", "top_down", "bottom_up", "none", "skip_connect", "none"])
    assert live_nodes(genotype) == output_nodes(genotype) == (2,)
    assert list(pruned_digraph(genotype)) == [0, 2, "output"]
    assert prune(genotype) == Genotype.of(["none", "top_down", "none", "none", "none", "none"])


def test_a_chain_leads_out_of_its_last_node_only() -> None:
    panet = resolve_genotype("panet")
    assert output_nodes(panet) == (2,)
    assert list(to_digraph(panet).pred["output"]) == [2]


def diamond() -> nx.DiGraph:
    """A graph from elsewhere, with names of its own."""
    graph = nx.DiGraph()
    graph.add_edge(0, "left", path="top_down")
    graph.add_edge(0, "right", path="bottom_up")
    graph.add_edge("right", "left", path="skip_connect")
    graph.add_edges_from([("left", "output"), ("right", "output")], path="sum")
    return graph


def test_named_nodes_are_numbered_in_topological_order() -> None:
    assert from_digraph(diamond()) == Genotype.of(["bottom_up", "top_down", "skip_connect"])


def test_a_chain_from_elsewhere_is_known_by_its_output() -> None:
    graph = nx.DiGraph()
    nx.add_path(graph, [0, "a", "b", "output"], path="top_down")
    assert from_digraph(graph) == Genotype.of(["top_down", "top_down"], "chain")


def add(*edge: object) -> object:
    return lambda graph: graph.add_edge(*edge, path="top_down")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (add("left", "right"), "has a cycle, 'left' -> 'right' -> 'left'|has a cycle, 'right' -> 'left' -> 'right'"),
        (add("left", "left"), "has a cycle, 'left' -> 'left'"),
        (add("left", 0), "an edge enters it from 'left'"),
        (add("output", "left"), "an edge leaves the output towards 'left'"),
        (add(0, "output"), "from node 0 to 'output'"),
        (lambda graph: graph.remove_node("output"), "no node 'output'"),
        (lambda graph: graph.remove_node(0), "no node 0"),
        (lambda graph: graph.remove_edges_from([(0, "left"), (0, "right")]), "the output is dead"),
        (lambda graph: graph.remove_edge("right", "output"), "only the last node|no edge 0->2"),
        (lambda graph: graph.edges[0, "left"].update(path="top_dwn"), "edge 0->left: path: 'top_dwn'.*'top_down'"),
        (lambda graph: graph.edges[0, "left"].clear(), "edge 0->left: path: None is not"),
        (lambda graph: graph.graph.update(space="ring"), "'ring' is not a space; choose 'dense' or 'chain'"),
        (lambda graph: graph.graph.update(space="chain"), "node 'right' has an edge to 'output'"),
    ],
)
def test_a_graph_that_is_no_genotype_is_refused(change: object, message: str) -> None:
    graph = diamond()
    change(graph)
    with pytest.raises(InvalidGenotypeError, match=message):
        from_digraph(graph)


@pytest.mark.parametrize("kind", [nx.Graph, nx.MultiDiGraph])
def test_other_kinds_of_graph_are_refused(kind: type) -> None:
    with pytest.raises(InvalidGenotypeError, match=f"but got a {kind.__name__}"):
        validate_digraph(kind(diamond()))
