"""The genotype in one line: paths by short name, grouped by target node.

``td|td,td|fs,none,skip`` is dense with three nodes; ``chain:td|bu`` is a chain of two.
"""

from __future__ import annotations

from itertools import groupby
from reprlib import repr as shown

from opanas_cli.errors import InvalidGenotypeError
from opanas_cli.formats.registry import Codec, GenotypeRecord, errors_at
from opanas_cli.genotype import Genotype, PathType, SpaceKind, information_paths
from opanas_cli.genotype.edges import num_edges, require_size
from opanas_cli.suggestions import choice

CHAIN_PREFIX = "chain:"


def loads(text: str, where: str) -> GenotypeRecord:
    """The genotype in one line of text; InvalidGenotypeError if it is not one line or no genotype."""
    lines = text.strip().splitlines()
    if len(lines) != 1:
        raise InvalidGenotypeError(f"{where}: expected one line, such as td|td,td, but got {len(lines)}")
    line = lines[0].strip()
    kind = SpaceKind.CHAIN if line.startswith(CHAIN_PREFIX) else SpaceKind.DENSE
    groups = line.removeprefix(CHAIN_PREFIX).split("|")
    with errors_at(where):
        require_size(len(groups))
    paths: list[PathType] = []
    for node, group in enumerate(groups, start=1):
        names = group.split(",")
        wanted = num_edges(kind, node) - num_edges(kind, node - 1)
        if len(names) != wanted:
            raise InvalidGenotypeError(
                f"{where}: node {node} of a {kind} genotype has {wanted} paths, but got {len(names)} in {shown(group)}"
            )
        paths += [
            _path(name.strip(), f"{where}: node {node}, path {place}") for place, name in enumerate(names, start=1)
        ]
    return GenotypeRecord(Genotype(tuple(paths), kind))


def dumps(record: GenotypeRecord) -> str:
    """The line of a genotype, with its line end; metadata is left out."""
    return line_of(record.genotype) + "\n"


def line_of(genotype: Genotype) -> str:
    """The genotype in one line, without line end."""
    nodes = groupby(genotype.items(), key=lambda item: item[0].target)
    line = "|".join(",".join(path.short.lower() for _, path in group) for _, group in nodes)
    return f"{CHAIN_PREFIX}{line}" if genotype.space is SpaceKind.CHAIN else line


TEXT = Codec("text", (".txt",), loads, dumps)


def _path(name: str, where: str) -> PathType:
    paths = {path.short.lower(): path for path in information_paths().values()}
    if name in paths:
        return paths[name]
    meant = information_paths()[name].short if name in information_paths() else name
    raise InvalidGenotypeError(f"{where}: {shown(name)} is not the short name of a path; {choice(meant, list(paths))}")
