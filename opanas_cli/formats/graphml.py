"""Genotypes as GraphML, which graph programs read and write: all nodes, and an edge for each path but `none`."""

from __future__ import annotations

import json
from reprlib import repr as shown
from typing import Any

from opanas_cli.errors import InvalidGenotypeError
from opanas_cli.formats.json_format import FORMAT, VERSION, record_of
from opanas_cli.formats.registry import Codec, GenotypeRecord
from opanas_cli.genotype.edges import SpaceKind, require_size, space_edges
from opanas_cli.genotype.paths import PathType


def loads(text: str, where: str) -> GenotypeRecord:
    """The genotype in a GraphML text, which networkx or another program wrote.

    Nodes are called 0 to N and ``output``; edges carry a ``path``, and those that are left out are `none`. The graph
    says its ``space``, and may say ``metadata`` as JSON.

    Raises:
        InvalidGenotypeError: the text is not GraphML, or the graph is no genotype.
    """
    import networkx as nx

    from opanas_cli.genotype.dag import OUTPUT_NODE, to_digraph

    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise InvalidGenotypeError(f"{where}: has a document type, which GraphML needs none of; remove it")
    try:
        graph = nx.parse_graphml(text)
        metadata = json.loads(graph.graph.get("metadata", "{}"))
    except Exception as error:  # networkx lets through whatever the parser and its own conversions raise.
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise InvalidGenotypeError(f"{where}: is not GraphML ({reason:.200}); write it anew") from None
    space, num_nodes = graph.graph.get("space", SpaceKind.DENSE.value), len(graph) - 2
    names = [*map(str, range(num_nodes + 1)), OUTPUT_NODE]
    if not graph.is_directed() or set(graph) != set(names) or num_nodes < 1:
        raise InvalidGenotypeError(
            f"{where}: a genotype is a directed graph of the nodes 0 to N and 'output', but this one has "
            f"{shown(sorted(graph))}"
        )
    try:
        require_size(num_nodes)
        left_out = dict.fromkeys(space_edges(SpaceKind.parse(space), num_nodes), PathType.NONE.value)
    except InvalidGenotypeError as error:
        raise InvalidGenotypeError(f"{where}: {error}") from None
    edges: list[dict[str, Any]] = []
    for source, target, data in graph.edges(data=True):
        if target != OUTPUT_NODE:
            edges.append({"source": names.index(source), "target": names.index(target), "path": data.get("path")})
            left_out.pop((edges[-1]["source"], edges[-1]["target"]), None)  # type: ignore[call-overload]
    edges += [{"source": edge.source, "target": edge.target, "path": path} for edge, path in left_out.items()]
    document = {"format": FORMAT, "version": VERSION, "space": space, "num_nodes": num_nodes, "edges": edges}
    record = record_of({**document, "metadata": metadata}, where)
    summed = {str(node) for node in to_digraph(record.genotype).predecessors(OUTPUT_NODE)}
    if {str(source) for source, target in graph.edges() if target == OUTPUT_NODE} != summed:
        raise InvalidGenotypeError(
            f"{where}: the edges into 'output' must come from {', '.join(sorted(summed, key=int))} in a {space} space"
        )
    return record


def dumps(record: GenotypeRecord) -> str:
    """The text of a file; InvalidGenotypeError if JSON cannot say the metadata."""
    from networkx import generate_graphml

    from opanas_cli.genotype.dag import to_digraph

    graph = to_digraph(record.genotype)
    if record.metadata:
        try:
            graph.graph["metadata"] = json.dumps(record.metadata, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidGenotypeError(f"metadata: {error}; use only what JSON can say") from error
    return "\n".join(generate_graphml(graph)) + "\n"


GRAPHML = Codec("graphml", (".graphml",), loads, dumps)
