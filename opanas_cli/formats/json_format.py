"""The native format: one JSON document that lists every edge, with free metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from opanas_cli.errors import InvalidGenotypeError
from opanas_cli.formats.registry import Codec, GenotypeRecord
from opanas_cli.formats.strict_json import check, located, parse
from opanas_cli.genotype import Edge, Genotype, PathType, SpaceKind
from opanas_cli.genotype.edges import space_edges

FORMAT = "opanas-genotype"
VERSION = 1


def loads(text: str, where: str) -> GenotypeRecord:
    """The genotype in a JSON text; see `record_of`."""
    return _record(parse(text, where), where)


def record_of(document: Mapping[str, Any], where: str) -> GenotypeRecord:
    """The genotype in a JSON document that is already data.

    Raises:
        InvalidGenotypeError: the document is no genotype of this version, or misses or repeats an edge. The message
            begins with `where` and the JSON path.
    """
    check(document, where)
    return _record(dict(document), where)


def dumps(record: GenotypeRecord) -> str:
    """The text of a file: one edge a line, in flat order.

    Raises:
        InvalidGenotypeError: the metadata cannot be said in JSON.
    """
    edges = ",\n".join(f"    {json.dumps(edge)}" for edge in _edges(record.genotype))
    try:
        metadata = json.dumps(record.metadata, indent=2, allow_nan=False).replace("\n", "\n  ")
    except (TypeError, ValueError) as error:
        raise InvalidGenotypeError(f"metadata: {error}; keep to what JSON can say") from error
    return (
        f'{{\n  "format": "{FORMAT}",\n  "version": {VERSION},\n  "space": "{record.genotype.space}",\n'
        f'  "num_nodes": {record.genotype.num_nodes},\n  "edges": [\n{edges}\n  ],\n  "metadata": {metadata}\n}}\n'
    )


def document_of(record: GenotypeRecord) -> dict[str, Any]:
    """The same as data, for a document that holds a genotype among other things."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "space": record.genotype.space.value,
        "num_nodes": record.genotype.num_nodes,
        "edges": _edges(record.genotype),
        "metadata": record.metadata,
    }


JSON = Codec("json", (".json",), loads, dumps)


def _edges(genotype: Genotype) -> list[dict[str, Any]]:
    return [{"source": edge.source, "target": edge.target, "path": path.value} for edge, path in genotype.items()]


def _record(document: object, where: str) -> GenotypeRecord:
    from opanas_cli.formats.schema_errors import check_schema

    if isinstance(document, dict):
        _check_version(document, where)
    check_schema(document, where)
    assert isinstance(document, dict)
    kind = SpaceKind(document["space"])
    num_nodes = int(document["num_nodes"])
    listed = [Edge(int(item["source"]), int(item["target"])) for item in document["edges"]]
    listed_paths = [_path(item["path"], where, place) for place, item in enumerate(document["edges"])]
    _check_edges(listed, kind, num_nodes, where)
    paths = dict(zip(listed, listed_paths, strict=True))
    genotype = Genotype(tuple(paths[edge] for edge in space_edges(kind, num_nodes)), kind)
    return GenotypeRecord(genotype, document.get("metadata", {}))


def _path(name: str, where: str, place: int) -> PathType:
    try:
        return PathType.parse(name)
    except InvalidGenotypeError as error:
        raise InvalidGenotypeError(f"{located(where, ['edges', place, 'path'])}: {error}") from None


def _check_version(document: Mapping[str, Any], where: str) -> None:
    version = document.get("version")
    if document.get("format") == FORMAT and isinstance(version, int) and version > VERSION:
        raise InvalidGenotypeError(
            f"{located(where, ['version'])}: {version} is from a newer opanas, this one reads version {VERSION}; "
            "upgrade opanas"
        )


def _check_edges(listed: Sequence[Edge], kind: SpaceKind, num_nodes: int, where: str) -> None:
    """Check that every edge of the space is listed once, which JSON Schema cannot say."""
    edges = dict.fromkeys(space_edges(kind, num_nodes))
    space = f"a {kind} space of {num_nodes} nodes"
    first: dict[Edge, int] = {}
    for place, edge in enumerate(listed):
        if edge in first or edge not in edges:
            wrong = (
                f"is not in {space}" if edge not in edges else f"is already listed as edges[{first[edge]}]; keep one"
            )
            raise InvalidGenotypeError(f"{located(where, ['edges', place])}: edge {edge} {wrong}")
        first[edge] = place
    missing = next((edge for edge in edges if edge not in first), None)
    if missing is not None:
        raise InvalidGenotypeError(
            f"{located(where, ['edges'])}: edge {missing} is missing; {space} has {len(edges)} edges, those with the "
            "path 'none' too"
        )
