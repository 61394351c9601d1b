"""Search spaces: the set of genotypes a search may choose from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from itertools import product
from reprlib import repr as shown

from opanas_cli.errors import InvalidGenotypeError
from opanas_cli.genotype.edges import Edge, SpaceKind, space_edges
from opanas_cli.genotype.genotype import Genotype
from opanas_cli.genotype.paths import PAPER_PATHS, PathType


@dataclass(frozen=True, slots=True)
class SearchSpace:
    """All genotypes with `num_nodes` intermediate nodes and one of `paths` on each edge (section 3.2)."""

    num_nodes: int = 5
    kind: SpaceKind = SpaceKind.DENSE
    paths: tuple[PathType, ...] = PAPER_PATHS

    def __post_init__(self) -> None:
        space_edges(self.kind, self.num_nodes)
        if len(set(self.paths)) != len(self.paths):
            raise InvalidGenotypeError(f"the paths of a space must differ, but got {self.paths}")
        if not any(path is not PathType.NONE for path in self.paths):
            raise InvalidGenotypeError("a space needs at least one path besides 'none'")

    @classmethod
    def of(cls, num_nodes: object = 5, space: object = "dense", paths: object = None) -> SearchSpace:
        """The space that the settings of a super-net's neck describe, as a config spells them.

        Args:
            space: the kind of space, by name.
            paths: a list of names; None is the paper's six.

        Raises:
            InvalidGenotypeError: there is no such space.
        """
        if not isinstance(num_nodes, int) or isinstance(num_nodes, bool):
            raise InvalidGenotypeError(f"num_nodes must be a whole number, but got {shown(num_nodes)}")
        if paths is not None and not isinstance(paths, (list, tuple)):
            raise InvalidGenotypeError(f"paths must be a list of information paths, but got {shown(paths)}")
        names = PAPER_PATHS if paths is None else tuple(PathType.parse(path) for path in paths)
        return cls(num_nodes, SpaceKind.parse(space), names)

    @classmethod
    def of_document(cls, document: Mapping[str, object]) -> SearchSpace:
        """The space whose fields a file holds by their names.

        Raises:
            KeyError: one is missing.
            InvalidGenotypeError: there is no such space.
        """
        return cls.of(*(document[field.name] for field in fields(cls)))

    @property
    def edges(self) -> tuple[Edge, ...]:
        """All edges in flat order."""
        return space_edges(self.kind, self.num_nodes)

    @property
    def parameterised_paths(self) -> tuple[PathType, ...]:
        """The K paths that take part in super-net training (section 3.2.1)."""
        return tuple(path for path in self.paths if path.is_parameterised)

    @property
    def size(self) -> int:
        """The number of genotypes, 6**(N(N+1)/2) for a dense space of the paper's paths; dead ones included."""
        return int(len(self.paths) ** len(self.edges))

    def __contains__(self, genotype: Genotype) -> bool:
        same_graph = genotype.space is self.kind and genotype.num_nodes == self.num_nodes
        return same_graph and all(path in self.paths for path in genotype.paths)

    def __iter__(self) -> Iterator[Genotype]:
        """Every genotype, in lexicographic order of `paths`. Only for small spaces."""
        for paths in product(self.paths, repeat=len(self.edges)):
            yield Genotype(paths, self.kind)
