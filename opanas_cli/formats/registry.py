"""Formats of genotypes, and those that are installed: found through the entry points ``opanas.genotype_formats``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from opanas_cli.errors import InvalidGenotypeError
from opanas_cli.genotype import Genotype
from opanas_cli.plug_ins import Registry, instance_called


@dataclass(frozen=True, slots=True)
class GenotypeRecord:
    """A genotype and its metadata: fitness, cost, provenance."""

    genotype: Genotype
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Codec:
    """One format, registered under the entry-point group ``opanas.genotype_formats``.

    `loads(text, where)` reads the text of a file; `where` names the file and begins every error message. It raises
    InvalidGenotypeError. `dumps(record)` gives the text of a file, or raises InvalidGenotypeError if the format cannot
    express the genotype. Either is None if the format is write-only or read-only.
    """

    name: str
    suffixes: tuple[str, ...]
    loads: Callable[[str, str], GenotypeRecord] | None = None
    dumps: Callable[[GenotypeRecord], str] | None = None


@contextmanager
def errors_at(where: str) -> Iterator[None]:
    """While the block runs, messages of InvalidGenotypeError begin with `where`."""
    try:
        yield
    except InvalidGenotypeError as error:
        raise InvalidGenotypeError(f"{where}: {error}") from None


def _checked(thing: object, name: str, loaded: Mapping[str, Codec]) -> Codec:
    codec = instance_called(thing, Codec, name)
    if not all(suffix.startswith(".") and suffix == suffix.lower() for suffix in codec.suffixes):
        raise ValueError(f"suffixes must be lower-case and begin with a dot, but got {codec.suffixes}")
    for other in loaded.values():
        for suffix in codec.suffixes:
            if suffix in other.suffixes:
                raise ValueError(f"the suffix '{suffix}' is taken by '{other.name}'")
    return codec


FORMATS = Registry(
    "opanas.genotype_formats",
    "genotype format",
    {
        "json": "opanas_cli.formats.json_format:JSON",
        "released": "opanas_cli.formats.released:RELEASED",
        "text": "opanas_cli.formats.text:TEXT",
        "graphml": "opanas_cli.formats.graphml:GRAPHML",
    },
    _checked,
)


def codec_of(path: Path, name: str | None = None) -> Codec:
    """The format called `name`, or the one that has the suffix of a file; UsageError, InvalidGenotypeError if none."""
    if name is not None:
        return FORMATS.named(name)
    for codec in FORMATS.all.values():
        if path.suffix.lower() in codec.suffixes:
            return codec
    suffixes = ", ".join(suffix for codec in FORMATS.all.values() for suffix in codec.suffixes)
    raise InvalidGenotypeError(
        f"{path}: no genotype format has the suffix '{path.suffix}'; use one of {suffixes}, "
        f"or say which of the formats {', '.join(FORMATS.all)} it is"
    )
