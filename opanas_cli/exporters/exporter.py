"""What an exporter is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opanas_cli.formats import GenotypeRecord


@dataclass(frozen=True)
class ExportRequest:
    """What the user asks for: a genotype, the name it was given by, the output file, and the exporter's options.

    `output` is None for stdout; `options` are those of `Exporter.options` that were given, by name.
    """

    record: GenotypeRecord
    name: str
    output: Path | None
    options: Mapping[str, Any]


@dataclass(frozen=True)
class ExportedFile:
    """One file of an export: what it is (a word for the terminal and JSON), its content, and its name.

    The name is that of a file in the output's folder; None is the output itself, which an exporter returns first.
    """

    kind: str
    content: str | bytes
    name: str | None = None


@dataclass(frozen=True)
class Exporter:
    """A target of ``opanas export --to``.

    Args:
        name: as ``--to`` takes it.
        files: makes the files of a request.
        options: the options of ``opanas export`` that it takes, by parameter name.
        text: whether the output is text, which can go to stdout.
    """

    name: str
    files: Callable[[ExportRequest], Sequence[ExportedFile]]
    options: frozenset[str] = frozenset()
    text: bool = True
