"""From what a user hands us to a validated genotype."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from opanas_cli.errors import InvalidGenotypeError
from opanas_cli.formats.codec import GenotypeRecord
from opanas_cli.genotype import Genotype
from opanas_cli.genotype.liveness import validate
from opanas_cli.shipped import shipped_dir


def shipped_genotypes() -> dict[str, Path]:
    """The genotypes that come with opanas, by name."""
    files = sorted(shipped_dir("genotypes").glob("*.json"))
    return {file.stem: file for file in files if not file.name.endswith(".schema.json")}


def resolve_genotype(value: Genotype | str | Path | Mapping[str, Any] | Sequence[str]) -> Genotype:
    """The genotype meant by `value`: a genotype, a shipped name, a file, a JSON document, or path names in flat order.

    Raises:
        InvalidGenotypeError: there is no such genotype, it is malformed, or its output is dead.
    """
    return resolve_record(value).genotype


def resolve_record(value: Genotype | str | Path | Mapping[str, Any] | Sequence[str]) -> GenotypeRecord:
    """As `resolve_genotype`, with the metadata."""
    if isinstance(value, (str, Path)):
        shipped = shipped_genotypes()
        return read_record(shipped[str(value)] if str(value) in shipped else Path(value))
    if isinstance(value, Mapping):
        return _from_document(value)
    genotype = value if isinstance(value, Genotype) else Genotype.of(value)
    validate(genotype)
    return GenotypeRecord(genotype)


def read_record(path: Path, codec_name: str | None = None) -> GenotypeRecord:
    """The genotype in a file, in the format that its suffix says."""
    try:
        return _from_document(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise InvalidGenotypeError(f"{path}: {error}") from error


def _from_document(document: Mapping[str, Any]) -> GenotypeRecord:
    edges = sorted(document["edges"], key=lambda edge: (edge["target"], edge["source"]))
    genotype = Genotype.of([edge["path"] for edge in edges], document["space"])
    validate(genotype)
    return GenotypeRecord(genotype, document.get("metadata", {}))
