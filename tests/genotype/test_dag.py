"""Genotypes as networkx graphs, and what is alive of them by reachability in the whole graph."""

from __future__ import annotations

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opanas_cli.errors import InvalidGenotypeError
from opanas_cli.formats import resolve_genotype
from opanas_cli.genotype import PAPER_PATHS, Genotype, PathType, SearchSpace, SpaceKind
from opanas_cli.genotype.dag import to_digraph
from opanas_cli.genotype.liveness import live_edges, live_nodes, output_nodes, prune, validate


@st.composite
def genotypes(draw: st.DrawFn) -> Genotype:
    """Genotypes of both spaces with up to 6 nodes, `none` as likely as the five other paths together."""
    space = SearchSpace(draw(st.integers(1, 6)), draw(st.sampled_from(SpaceKind)))
    path = st.one_of(st.just(PathType.NONE), st.sampled_from(PAPER_PATHS))
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
    assert all(dict(genotype.items())[edge] is path for edge, path in live_edges(genotype))
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
    assert sorted(naive_live_edges(pruned)) == sorted(naive_live_edges(genotype))


@given(genotypes())
@settings(deadline=None, max_examples=200)
def test_validity_is_a_way_from_input_to_output(genotype: Genotype) -> None:
    if nx.has_path(to_digraph(genotype), 0, "output"):
        validate(genotype)
    else:
        with pytest.raises(InvalidGenotypeError, match="the output is dead"):
            validate(genotype)


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
    assert prune(genotype) == Genotype.of(["none", "top_down", "none", "none", "none", "none"])


def test_a_chain_leads_out_of_its_last_node_only() -> None:
    panet = resolve_genotype("panet")
    assert output_nodes(panet) == (2,)
    assert list(to_digraph(panet).pred["output"]) == [2]
