"""The genotype as a networkx graph, for other programs."""

from __future__ import annotations

from typing import Any

import networkx as nx

from opanas_cli.genotype.edges import SpaceKind
from opanas_cli.genotype.genotype import Genotype
from opanas_cli.genotype.paths import PathType

OUTPUT_NODE = "output"
SUM = "sum"
"""The label of the edges into the output, which carry no information path but are summed."""


def to_digraph(genotype: Genotype) -> nx.DiGraph[Any]:
    """All nodes 0…N and ``"output"``, and every edge that carries a path, its name in the attribute ``path``.

    An edge with `none` is no edge of the graph. Edges into ``"output"`` are labelled ``"sum"``.
    """
    last = genotype.num_nodes
    summed = (last,) if genotype.space is SpaceKind.CHAIN else range(1, last + 1)
    graph: nx.DiGraph[Any] = nx.DiGraph(space=genotype.space.value)
    graph.add_nodes_from([*range(last + 1), OUTPUT_NODE])
    graph.add_edges_from((*edge, {"path": path.value}) for edge, path in genotype.items() if path is not PathType.NONE)
    graph.add_edges_from(((node, OUTPUT_NODE) for node in summed), path=SUM)
    return graph
