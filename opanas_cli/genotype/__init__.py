"""What a feature pyramid network is, as plain data: path types, edges, genotypes and their graphs."""

from opanas_cli.genotype.edges import Edge, SpaceKind, edge_index, space_edges
from opanas_cli.genotype.genotype import Genotype
from opanas_cli.genotype.paths import PAPER_PATHS, PathType, information_paths
from opanas_cli.genotype.space import SearchSpace

__all__ = [
    "PAPER_PATHS",
    "Edge",
    "Genotype",
    "PathType",
    "SearchSpace",
    "SpaceKind",
    "edge_index",
    "information_paths",
    "space_edges",
]
