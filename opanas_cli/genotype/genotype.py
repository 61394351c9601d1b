"""The genotype: one information path per edge of a search space."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import isqrt

from opanas_cli.errors import InvalidGenotypeError
from opanas_cli.genotype.edges import Edge, SpaceKind, num_edges, require_size, space_edges
from opanas_cli.genotype.paths import PathType


@dataclass(frozen=True, slots=True)
class Genotype:
    """A feature pyramid network: the path on each edge, in flat order. Immutable and hashable.

    Equality is equality of space and paths; for networks that are the same up to node order see
    `opanas_cli.genotype.architecture.Architecture`.
    """

    paths: tuple[PathType, ...]
    space: SpaceKind = SpaceKind.DENSE

    def __post_init__(self) -> None:
        if not isinstance(self.paths, tuple) or not all(isinstance(path, PathType) for path in self.paths):
            raise InvalidGenotypeError(f"expected a tuple of PathType, but got {self.paths!r}; use Genotype.of")
        if num_edges(self.space, self.num_nodes) != len(self.paths) or not self.paths:
            raise InvalidGenotypeError(_wrong_count(len(self.paths), self.space))
        require_size(self.num_nodes)

    @classmethod
    def of(cls, paths: Iterable[PathType | str], space: SpaceKind | str = SpaceKind.DENSE) -> Genotype:
        """A genotype from path names in flat order.

        Raises:
            InvalidGenotypeError: a name or the space is unknown, or the number of names fits no genotype.
        """
        return cls(tuple(PathType.parse(path) for path in paths), SpaceKind.parse(space))

    @property
    def num_nodes(self) -> int:
        """The number N of intermediate nodes."""
        count = len(self.paths)
        return count if self.space is SpaceKind.CHAIN else (isqrt(8 * count + 1) - 1) // 2

    @property
    def edges(self) -> tuple[Edge, ...]:
        """All edges in flat order, those that carry `none` included."""
        return space_edges(self.space, self.num_nodes)

    def items(self) -> Iterator[tuple[Edge, PathType]]:
        """Each edge with its path, in flat order."""
        return zip(self.edges, self.paths, strict=True)


def _wrong_count(count: int, space: SpaceKind) -> str:
    if space is SpaceKind.CHAIN:
        return "a chain needs at least 1 path, but got 0"
    lower = (isqrt(8 * count + 1) - 1) // 2
    around = [str(num_edges(space, nodes)) for nodes in (lower, lower + 1) if nodes > 0]
    return f"a dense genotype has N(N+1)/2 paths for N nodes (so {' or '.join(around)}), but got {count}"
