"""The native format: one JSON document that lists every edge, with free metadata."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from reprlib import repr as shown
from typing import TYPE_CHECKING, Any

from opanas_cli.errors import InvalidGenotypeError
from opanas_cli.formats.registry import Codec, GenotypeRecord, errors_at
from opanas_cli.genotype import Edge, Genotype, PathType, SpaceKind
from opanas_cli.genotype.edges import space_edges
from opanas_cli.shipped import shipped_dir
from opanas_cli.suggestions import suggestion

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator

FORMAT = "opanas-genotype"
VERSION = 1
SCHEMA_FILE = "genotype.schema.json"
TOO_DEEP = "nested too deep; a genotype needs 3 levels, and metadata should be flatter"


def loads(text: str, where: str) -> GenotypeRecord:
    """The genotype in a JSON text.

    Raises:
        InvalidGenotypeError: the text is not JSON or no genotype of this version, it repeats a key, a number in it is
            not finite, or it misses or repeats an edge. The message begins with `where` and the JSON path.
    """
    if not text.strip():
        raise InvalidGenotypeError(f"{where}: the file is empty; a genotype begins with '{{'")
    try:
        document = json.loads(text, object_pairs_hook=_object, parse_float=_finite, parse_constant=_finite)
        _check(document, where)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise InvalidGenotypeError(f"{where}: {place}: not JSON ({error.msg}); correct the file there") from None
    except ValueError as error:
        raise InvalidGenotypeError(f"{where}: {error}") from None
    except RecursionError:
        raise InvalidGenotypeError(f"{where}: {TOO_DEEP}") from None
    edges = _edges_of(document, where)
    return GenotypeRecord(Genotype(tuple(edges.values()), SpaceKind(document["space"])), document.get("metadata", {}))


def record_of(document: Mapping[str, Any], where: str) -> GenotypeRecord:
    """The genotype in a JSON document that is already data; InvalidGenotypeError as of `loads`."""
    return loads(_dumped(document, where), where)


def dumps(record: GenotypeRecord) -> str:
    """The text of a file: one edge a line, in flat order; InvalidGenotypeError if JSON cannot say the metadata."""
    document = document_of(record)
    edges = ",\n".join(f"    {json.dumps(edge)}" for edge in document["edges"])
    text = _dumped({**document, "edges": "EDGES"}, "metadata", indent=2)
    return text.replace('"EDGES"', f"[\n{edges}\n  ]", 1) + "\n"


def document_of(record: GenotypeRecord) -> dict[str, Any]:
    """The same as data, for documents that contain genotypes."""
    edges = [
        {"source": edge.source, "target": edge.target, "path": path.value} for edge, path in record.genotype.items()
    ]
    return {
        "format": FORMAT,
        "version": VERSION,
        "space": record.genotype.space.value,
        "num_nodes": record.genotype.num_nodes,
        "edges": edges,
        "metadata": record.metadata,
    }


JSON = Codec("json", (".json",), loads, dumps)


def _dumped(document: object, where: str, indent: int | None = None) -> str:
    try:
        return json.dumps(document, indent=indent, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidGenotypeError(f"{where}: {error}; use only what JSON can say") from error
    except RecursionError:
        raise InvalidGenotypeError(f"{where}: {TOO_DEEP}") from None


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {shown(key)} is given twice; keep one")
        found[key] = value
    return found


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"expected finite numbers, but got {text}")
    return number


def _check(document: Any, where: str) -> None:
    """Check a document against the schema in genotypes/; InvalidGenotypeError with the error nearest to the root."""
    from jsonschema.exceptions import best_match, by_relevance

    version = document.get("version") if isinstance(document, dict) else None
    if isinstance(version, int) and version > VERSION and document.get("format") == FORMAT:
        raise InvalidGenotypeError(
            f"{where}: version: {version} is from a newer opanas, this release reads version {VERSION}; upgrade opanas"
        )
    # A misspelt key is reported before the missing one that it stands for.
    error = best_match(_validator().iter_errors(document), key=by_relevance(strong={"additionalProperties"}))
    if error is None:
        return
    got: Any = error.instance
    message = error.message.replace(repr(got), shown(got))
    if error.validator == "additionalProperties":
        known = error.schema["properties"]
        key = next(key for key in got if key not in known)
        message = f"unknown key {shown(key)}; {suggestion(key, known)}"
    path = error.json_path.removeprefix("$").removeprefix(".")
    raise InvalidGenotypeError(": ".join(part for part in (where, path, message) if part))


@lru_cache(maxsize=1)
def _validator() -> Draft202012Validator:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(json.loads((shipped_dir("genotypes") / SCHEMA_FILE).read_text(encoding="utf-8")))


def _edges_of(document: Mapping[str, Any], where: str) -> dict[Edge, PathType]:
    """The path of every edge in flat order; that each is listed once is what JSON Schema cannot say."""
    kind, num_nodes = SpaceKind(document["space"]), int(document["num_nodes"])
    space = f"a {kind} space of {num_nodes} nodes"
    edges = dict.fromkeys(space_edges(kind, num_nodes))
    found: dict[Edge, PathType] = {}
    for place, item in enumerate(document["edges"]):
        edge = Edge(int(item["source"]), int(item["target"]))
        with errors_at(f"{where}: edges[{place}]"):
            if edge in found:
                raise InvalidGenotypeError(f"edge {edge} is already listed as edges[{[*found].index(edge)}]; keep one")
            if edge not in edges:
                raise InvalidGenotypeError(f"edge {edge} is not in {space}")
        with errors_at(f"{where}: edges[{place}].path"):
            found[edge] = PathType.parse(item["path"])
    if missing := [edge for edge in edges if edge not in found]:
        raise InvalidGenotypeError(
            f"{where}: edges: edge {missing[0]} is missing; {space} has {len(edges)} edges, including those with 'none'"
        )
    return {edge: found[edge] for edge in edges}
