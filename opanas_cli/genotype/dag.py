"""The genotype as a networkx graph, for drawing, export and graph algorithms."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING, Any

from opanas_cli.errors import InvalidGenotypeError
from opanas_cli.genotype.edges import Edge, SpaceKind, space_edges
from opanas_cli.genotype.genotype import Genotype
from opanas_cli.genotype.liveness import INPUT_NODE, live_edges, output_nodes
from opanas_cli.genotype.paths import PathType

if TYPE_CHECKING:
    import networkx as nx

OUTPUT_NODE = "output"
SUM = "sum"
"""The label of the edges into the output, which carry no information path but are summed."""


def to_digraph(genotype: Genotype) -> nx.DiGraph[Any]:
    """All nodes 0…N and ``"output"``, and every edge that carries a path, its name in the attribute ``path``.

    An edge with `none` is no edge of the graph. Edges into ``"output"`` are labelled ``"sum"``.
    """
    last = genotype.num_nodes
    summed = (last,) if genotype.space is SpaceKind.CHAIN else range(1, last + 1)
    edges = ((edge, path) for edge, path in genotype.items() if path is not PathType.NONE)
    return _graph(genotype, range(last + 1), edges, summed)


def pruned_digraph(genotype: Genotype) -> nx.DiGraph[Any]:
    """As `to_digraph`, with only what takes part in the output."""
    edges = live_edges(genotype)
    nodes = sorted({INPUT_NODE, *(edge.target for edge, _ in edges)})
    return _graph(genotype, nodes, edges, output_nodes(genotype))


def validate_digraph(graph: nx.DiGraph[Any]) -> None:
    """Check that a graph is a feature pyramid network with input 0 and output ``"output"``.

    Raises:
        InvalidGenotypeError: it is not directed, has parallel edges or a cycle, lacks input or output, has an edge into
            the input or out of the output, or no way from input to output.
    """
    import networkx as nx

    if not graph.is_directed() or graph.is_multigraph():
        raise InvalidGenotypeError(f"a genotype is a directed graph without parallel edges, but got a {_kind(graph)}")
    for node in (INPUT_NODE, OUTPUT_NODE):
        if node not in graph:
            raise InvalidGenotypeError(f"the graph has no node {node!r}; name its input 0 and its output 'output'")
    if graph.in_degree(INPUT_NODE):
        raise InvalidGenotypeError(f"node 0 is the input, but an edge enters it from {_first(graph.pred[INPUT_NODE])}")
    if graph.out_degree(OUTPUT_NODE):
        raise InvalidGenotypeError(f"an edge leaves the output towards {_first(graph.succ[OUTPUT_NODE])}; remove it")
    if not nx.is_directed_acyclic_graph(graph):
        cycle = nx.find_cycle(graph)
        way = " -> ".join(repr(node) for node in [cycle[0][0], *(edge[1] for edge in cycle)])
        raise InvalidGenotypeError(f"the graph has a cycle, {way}; remove one of its edges")
    if not nx.has_path(graph, INPUT_NODE, OUTPUT_NODE):
        raise InvalidGenotypeError("the output is dead: no way leads from node 0 to 'output'; add an edge")


def from_digraph(graph: nx.DiGraph[Any]) -> Genotype:
    """The genotype that a graph as made by `to_digraph` or `pruned_digraph` stands for.

    Intermediate nodes may have any name; they are numbered in topological order, and by the order in which the graph
    lists them where that leaves a choice. The graph attribute ``space`` says the space; without it, a graph whose
    intermediate nodes all lead to the output is dense and any other a chain.

    Raises:
        InvalidGenotypeError: as `validate_digraph`; an edge has no known path; or the space has no such graph.
    """
    import networkx as nx

    validate_digraph(graph)
    listed = {node: place for place, node in enumerate(graph)}
    inner: list[Hashable] = [
        node
        for node in nx.lexicographical_topological_sort(graph, key=listed.__getitem__)
        if node not in (INPUT_NODE, OUTPUT_NODE)
    ]
    kind = _space(graph, inner)
    _check_summed(graph, inner, kind)
    number = {INPUT_NODE: INPUT_NODE, **{node: place for place, node in enumerate(inner, start=1)}}
    paths = {
        Edge(number[source], number[target]): _path(source, target, data.get("path"))
        for source, target, data in graph.edges(data=True)
        if target != OUTPUT_NODE
    }
    edges = space_edges(kind, len(inner))
    for edge in sorted(paths.keys() - set(edges)):
        raise InvalidGenotypeError(f"a {kind} genotype has no edge {edge}; a chain has edges between neighbours only")
    return Genotype(tuple(paths.get(edge, PathType.NONE) for edge in edges), kind)


def _graph(
    genotype: Genotype,
    nodes: Iterable[int],
    edges: Iterable[tuple[Edge, PathType]],
    summed: Iterable[int],
) -> nx.DiGraph[Any]:
    import networkx as nx

    graph: nx.DiGraph[Any] = nx.DiGraph(space=genotype.space.value)
    graph.add_nodes_from(nodes)
    graph.add_node(OUTPUT_NODE)
    graph.add_edges_from((edge.source, edge.target, {"path": path.value}) for edge, path in edges)
    graph.add_edges_from(((node, OUTPUT_NODE) for node in summed), path=SUM)
    return graph


def _space(graph: nx.DiGraph[Any], inner: list[Hashable]) -> SpaceKind:
    declared = graph.graph.get("space")
    if declared is None:
        return SpaceKind.DENSE if all(graph.has_edge(node, OUTPUT_NODE) for node in inner) else SpaceKind.CHAIN
    return SpaceKind.parse(declared)


def _check_summed(graph: nx.DiGraph[Any], inner: list[Hashable], kind: SpaceKind) -> None:
    summed = set(graph.pred[OUTPUT_NODE])
    if INPUT_NODE in summed:
        raise InvalidGenotypeError("an edge leads from node 0 to 'output', but the output sums intermediate nodes only")
    wanted = set(inner if kind is SpaceKind.DENSE else inner[-1:])
    for node in inner:
        if (node in wanted) != (node in summed):
            verb = "has no" if node in wanted else "has an"
            rule = "all intermediate nodes lead" if kind is SpaceKind.DENSE else "only the last node leads"
            raise InvalidGenotypeError(f"node {node!r} {verb} edge to 'output', but in a {kind} genotype {rule} to it")


def _path(source: object, target: object, label: object) -> PathType:
    try:
        return PathType.parse(label)
    except InvalidGenotypeError as error:
        raise InvalidGenotypeError(f"edge {source}->{target}: path: {error}") from None


def _first(neighbours: Iterable[object]) -> str:
    return repr(next(iter(neighbours)))


def _kind(graph: nx.DiGraph[Any]) -> str:
    return type(graph).__name__
