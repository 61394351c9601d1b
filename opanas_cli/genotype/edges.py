"""Edges of a search space and their flat order."""

from __future__ import annotations

from enum import Enum
from functools import lru_cache
from reprlib import repr as shown
from typing import NamedTuple

from opanas_cli.errors import InvalidGenotypeError

MAX_NODES = 64
"""The most intermediate nodes of a genotype and of a space. The paper has 5; time and memory grow with the square."""


class SpaceKind(str, Enum):
    """How nodes are connected."""

    DENSE = "dense"
    """Every node to every later one; the output is the sum of all intermediate nodes (Eq. 7)."""
    CHAIN = "chain"
    """Each node to the next only (Figure 2.1); the output is the last node."""

    __str__ = str.__str__

    @classmethod
    def parse(cls, name: object) -> SpaceKind:
        """The kind of space called `name`; InvalidGenotypeError if there is none."""
        for kind in cls:
            if name == kind.value:
                return kind
        raise InvalidGenotypeError(f"{shown(name)} is not a space; choose 'dense' or 'chain'")


class Edge(NamedTuple):
    """A directed edge between two nodes; node 0 is the backbone's pyramid."""

    source: int
    target: int

    def __str__(self) -> str:
        return f"{self.source}->{self.target}"


def edge_index(source: int, target: int, kind: SpaceKind = SpaceKind.DENSE) -> int:
    """The place of edge (source, target) in flat order: by target, then by source.

    Raises:
        InvalidGenotypeError: the space has no such edge.
    """
    if not 0 <= source < target or (kind is SpaceKind.CHAIN and target != source + 1):
        raise InvalidGenotypeError(f"a {kind} space has no edge {source}->{target}")
    return source if kind is SpaceKind.CHAIN else target * (target - 1) // 2 + source


def require_size(num_nodes: int) -> None:
    """Check a number of intermediate nodes; InvalidGenotypeError if it is below 1 or above `MAX_NODES`."""
    if not 1 <= num_nodes <= MAX_NODES:
        raise InvalidGenotypeError(f"expected 1 to {MAX_NODES} intermediate nodes, but got {num_nodes}")


@lru_cache(maxsize=256)
def space_edges(kind: SpaceKind, num_nodes: int) -> tuple[Edge, ...]:
    """All edges of a space with `num_nodes` intermediate nodes, in flat order.

    Raises:
        InvalidGenotypeError: the number of nodes is below 1 or above `MAX_NODES`.
    """
    require_size(num_nodes)
    if kind is SpaceKind.CHAIN:
        return tuple(Edge(node - 1, node) for node in range(1, num_nodes + 1))
    return tuple(Edge(source, target) for target in range(1, num_nodes + 1) for source in range(target))


def num_edges(kind: SpaceKind, num_nodes: int) -> int:
    """How many edges a space with `num_nodes` intermediate nodes has."""
    return num_nodes if kind is SpaceKind.CHAIN else num_nodes * (num_nodes + 1) // 2
