"""What a genotype is as an architecture: its live graph, whatever the numbers of its nodes and its space."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from opanas_cli.genotype.genotype import Genotype
from opanas_cli.genotype.liveness import INPUT_NODE, live_edges, live_nodes, output_nodes
from opanas_cli.genotype.paths import PAPER_PATHS

HASH_DIGITS = 16
OUTPUT = -1
"""The node that sums the output."""

Colours = Mapping[int, str]


class Architecture:
    """The network of a genotype that is trained on its own.

    Two are equal if the genotypes are equivalent: their pruned graphs, output included, are isomorphic with the paths
    respected and the input fixed. Inside a super-net only genotypes that are equal after `prune` compute the same, as
    other nodes have other weights there. All genotypes whose output is dead are one architecture.

    Attributes:
        digest: 16 hexadecimal digits, the same for equal architectures in every process. Different ones share them only
            if colour refinement cannot tell their nodes apart, such as a ring of 12 nodes and two rings of 6.
    """

    def __init__(self, genotype: Genotype) -> None:
        edges = [(edge.source, edge.target, path.value) for edge, path in live_edges(genotype)]
        edges += [(node, OUTPUT, "sum") for node in output_nodes(genotype)]
        self._neighbours: defaultdict[int, list[tuple[str, str, int]]] = defaultdict(list)
        for source, target, path in edges:
            self._neighbours[source].append(("to", path, target))
            self._neighbours[target].append(("from", path, source))
        ends = {INPUT_NODE: "input", OUTPUT: "output"}
        self._colours = self._refined({node: ends.get(node, "") for node in self._neighbours})
        self.digest = _digest(sorted(self._colours.values()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Architecture) and self._matches(self._colours, other, other._colours)

    def __hash__(self) -> int:
        return hash(self.digest)

    def _refined(self, colours: Colours) -> Colours:
        """Nodes of different colours, or with differently coloured neighbours, and so on, get different colours.

        This is the refinement of Weisfeiler and Leman (1968). networkx's hash of that name depends on its version.
        """
        while True:
            finer = {
                node: _digest([colours[node], sorted((way, path, colours[other]) for way, path, other in neighbours)])
                for node, neighbours in self._neighbours.items()
            }
            if len(set(finer.values())) == len(set(colours.values())):
                return finer
            colours = finer

    def _matches(self, colours: Colours, other: Architecture, others: Colours) -> bool:
        """Whether an isomorphism to another architecture keeps refined colours.

        If nodes share a colour, one of them is marked, and in the other architecture each that it may correspond to.
        networkx's `is_isomorphic` does not refine again, and takes minutes for some architectures of 24 nodes.
        """
        counts = Counter(colours.values())
        if counts != Counter(others.values()):
            return False
        shared = min((colour for colour in counts if counts[colour] > 1), key=lambda c: (counts[c], c), default=None)
        if shared is None:
            return True
        node = next(node for node in colours if colours[node] == shared)
        marked = self._refined({**colours, node: "marked"})
        return any(
            self._matches(marked, other, other._refined({**others, candidate: "marked"}))
            for candidate in others
            if others[candidate] == shared
        )


def _digest(value: object) -> str:
    return sha256(repr(value).encode()).hexdigest()[:HASH_DIGITS]


def canonical_hash(genotype: Genotype) -> str:
    """The digest of a genotype's architecture."""
    return Architecture(genotype).digest


def facts_of(genotype: Genotype) -> dict[str, Any]:
    """The space, what is alive of the genotype, and its canonical hash, as JSON-able values.

    `space_size` is a power of how many paths there are: the paper's, and others that the genotype has.
    """
    return {
        "space": genotype.space.value,
        "num_nodes": genotype.num_nodes,
        "num_edges": len(genotype.edges),
        "live_edges": [_edge_fact(*edge, path=path.value) for edge, path in live_edges(genotype)],
        "live_nodes": list(live_nodes(genotype)),
        "output_nodes": list(output_nodes(genotype)),
        "space_size": {"base": len({*PAPER_PATHS, *genotype.paths}), "exponent": len(genotype.edges)},
        "canonical_hash": canonical_hash(genotype),
    }


@dataclass(frozen=True, slots=True)
class Comparison:
    """How two genotypes relate.

    `relation` is ``equal`` if every edge has the same path, ``equivalent`` if they are one architecture, else
    ``different``. `differing_edges` is None if the spaces differ.
    """

    relation: str
    canonical_hashes: tuple[str, str]
    differing_edges: list[dict[str, Any]] | None


def compare(a: Genotype, b: Genotype) -> Comparison:
    """Compare two genotypes, edge by edge and as architectures."""
    first, second = Architecture(a), Architecture(b)
    relation = "equal" if a == b else "equivalent" if first == second else "different"
    return Comparison(relation, (first.digest, second.digest), _differing_edges(a, b))


def _differing_edges(a: Genotype, b: Genotype) -> list[dict[str, Any]] | None:
    if a.edges != b.edges or a.space is not b.space:
        return None
    rows = zip(a.edges, a.paths, b.paths, strict=True)
    return [_edge_fact(*edge, a=one.value, b=other.value) for edge, one, other in rows if one is not other]


def _edge_fact(source: int, target: int, **facts: str) -> dict[str, Any]:
    return {"source": source, "target": target, **facts}
