"""How long the canonical hash takes, against the naive way: networkx's isomorphism with every class met so far.

Example: python benchmarks/canonical_hash.py --count 200
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from time import perf_counter
from typing import Any

import networkx as nx
import numpy as np

from opanas_cli.genotype import Genotype, SearchSpace
from opanas_cli.genotype.architecture import canonical_hash
from opanas_cli.genotype.dag import to_digraph

NUM_NODES = (3, 5, 8, 12)


def main() -> None:
    """Print a line per number of nodes: ms per hash (mean and worst), ms per genotype the naive way, and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100, help="genotypes per number of nodes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu", help="taken as everywhere; nothing here computes on a GPU")
    parser.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
    arguments = parser.parse_args()
    generator = np.random.default_rng(arguments.seed)
    rows = [measure(random_genotypes(num_nodes, arguments.count, generator)) for num_nodes in NUM_NODES]
    if arguments.json:
        print(json.dumps({"format": "opanas-benchmark-canonical-hash", "version": 1, "rows": rows}, indent=2))
        return
    print(f"{'N':>3} {'hash ms':>9} {'worst ms':>9} {'naive ms':>9} {'ratio':>8} {'classes':>8}")
    for row in rows:
        print(
            f"{row['num_nodes']:3} {row['hash_ms']:9.3f} {row['worst_ms']:9.3f} {row['naive_ms']:9.3f} "
            f"{row['ratio']:8.1f} {row['num_classes']:8}"
        )


def random_genotypes(num_nodes: int, count: int, generator: np.random.Generator) -> list[Genotype]:
    """Uniform over a dense space."""
    space = SearchSpace(num_nodes)
    picks = generator.integers(len(space.paths), size=(count, len(space.edges)))
    return [Genotype(tuple(space.paths[pick] for pick in row)) for row in picks]


def measure(genotypes: Sequence[Genotype]) -> dict[str, Any]:
    """Both ways on the same genotypes, once warm; they must find the same number of classes."""
    canonical_hash(genotypes[0])
    naive_classes(genotypes[:2])
    seconds, hashes = [], set()
    for genotype in genotypes:
        start = perf_counter()
        hashes.add(canonical_hash(genotype))
        seconds.append(perf_counter() - start)
    start = perf_counter()
    classes = naive_classes(genotypes)
    naive_ms = 1e3 * (perf_counter() - start) / len(genotypes)
    assert len(classes) == len(hashes)
    hash_ms = 1e3 * sum(seconds) / len(genotypes)
    return {
        "num_nodes": genotypes[0].num_nodes,
        "hash_ms": hash_ms,
        "worst_ms": 1e3 * max(seconds),
        "naive_ms": naive_ms,
        "ratio": naive_ms / hash_ms,
        "num_classes": len(classes),
    }


def naive_classes(genotypes: Sequence[Genotype]) -> list[nx.DiGraph]:
    """One graph for each class of isomorphic ones, each genotype compared with all classes met before."""
    classes: list[nx.DiGraph] = []
    for genotype in genotypes:
        graph = live_graph(genotype)
        if not any(isomorphic(graph, other) for other in classes):
            classes.append(graph)
    return classes


def live_graph(genotype: Genotype) -> nx.DiGraph:
    """What lies on a way from the input to the output, each node with its role."""
    graph = to_digraph(genotype)
    live = ({0} | nx.descendants(graph, 0)) & ({"output"} | nx.ancestors(graph, "output"))
    graph = graph.subgraph({0, "output"} | live).copy()
    nx.set_node_attributes(graph, {node: node if node in (0, "output") else "intermediate" for node in graph}, "role")
    return graph


def isomorphic(first: nx.DiGraph, second: nx.DiGraph) -> bool:
    """Isomorphic with the paths respected, and input and output fixed."""
    return nx.is_isomorphic(
        first,
        second,
        node_match=lambda a, b: a["role"] == b["role"],
        edge_match=lambda a, b: a["path"] == b["path"],
    )


if __name__ == "__main__":
    main()
