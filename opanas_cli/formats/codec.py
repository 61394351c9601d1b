"""What a file format of genotypes has to offer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from opanas_cli.genotype import Genotype


@dataclass(frozen=True, slots=True)
class GenotypeRecord:
    """A genotype and what is known about it: fitness, cost, provenance."""

    genotype: Genotype
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Codec:
    """One format, registered under the entry-point group ``opanas.genotype_formats``.

    `loads(text, where)` reads the text of a file; `where` names the file and begins every error message. It raises
    InvalidGenotypeError. `dumps(record)` gives the text of a file, or raises InvalidGenotypeError where the format
    cannot say it. Either is None when the format cannot be read, or written.
    """

    name: str
    suffixes: tuple[str, ...]
    loads: Callable[[str, str], GenotypeRecord] | None = None
    dumps: Callable[[GenotypeRecord], str] | None = None
