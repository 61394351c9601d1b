"""What there is to know of a genotype, or of two, without a network, as JSON-able values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from opanas_cli.genotype.canonical import canonical_hash
from opanas_cli.genotype.genotype import Genotype
from opanas_cli.genotype.liveness import live_edges, live_nodes, output_nodes
from opanas_cli.genotype.paths import PAPER_PATHS


def facts_of(genotype: Genotype) -> dict[str, Any]:
    """The space, what is alive of the genotype, and its canonical hash.

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

    `relation` is ``equal`` where every edge has the same path, ``equivalent`` where the pruned graphs are isomorphic,
    else ``different``. `differing_edges` is None when the spaces differ.
    """

    relation: str
    canonical_hashes: tuple[str, str]
    differing_edges: list[dict[str, Any]] | None


def compare(a: Genotype, b: Genotype) -> Comparison:
    """Compare two genotypes, edge by edge and by their canonical hashes."""
    hashes = canonical_hash(a), canonical_hash(b)
    relation = "equal" if a == b else "equivalent" if hashes[0] == hashes[1] else "different"
    return Comparison(relation, hashes, _differing_edges(a, b))


def _differing_edges(a: Genotype, b: Genotype) -> list[dict[str, Any]] | None:
    if a.edges != b.edges or a.space is not b.space:
        return None
    rows = zip(a.edges, a.paths, b.paths, strict=True)
    return [_edge_fact(*edge, a=one.value, b=other.value) for edge, one, other in rows if one is not other]


def _edge_fact(source: int, target: int, **facts: str) -> dict[str, Any]:
    return {"source": source, "target": target, **facts}
