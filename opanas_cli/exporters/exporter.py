"""What an exporter is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opanas_cli.errors import OpanasError, UsageError
from opanas_cli.formats import GenotypeRecord

CONFIG_OPTIONS = frozenset(
    {"detector", "backbone", "channels", "neck", "dataset", "num_classes", "schedule", "standalone", "cfg_options"}
)
"""The options of `mmdet-config`."""

OPTIONS = CONFIG_OPTIONS | {"part", "image_size", "nms", "dynamic", "opset"}
"""The options of ``opanas export`` that only some exporters take, by parameter name."""


@dataclass(frozen=True)
class ExportRequest:
    """What the user asks for: a genotype, the name it was given by, the output file, options and weights.

    `output` is None for stdout. `options` are those of `Exporter.options` that were given, by name. `weights` is a
    detector's checkpoint, such as ``detector.pth``, if one was given.
    """

    record: GenotypeRecord
    name: str
    output: Path | None
    options: Mapping[str, Any]
    weights: Path | None = None


@dataclass(frozen=True)
class ExportedFile:
    """One file of an export: what it is (a word for the terminal and JSON), its content, text or bytes, and its name.

    The name is that of a file in the output's folder; None means the output itself, which comes first.
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
        options: which of `OPTIONS` it takes.
        needs_weights: whether the user must give a detector's checkpoint, by ``--weights``.
        takes_weights: whether the user may give one.
        how_to_run: one line for the user, how to run or open the output of a request.
    """

    name: str
    files: Callable[[ExportRequest], Sequence[ExportedFile]]
    options: frozenset[str] = frozenset()
    needs_weights: bool = False
    takes_weights: bool = False
    how_to_run: Callable[[ExportRequest], str] | None = None


def checked_files(exporter: Exporter, files: Sequence[ExportedFile], output: Path | None) -> Sequence[ExportedFile]:
    """The files of an exporter; OpanasError if one would be written over another, UsageError if an output is needed."""
    names = [file.name for file in files]
    beside = [
        name for name in names[1:] if name and Path(name).name == name and (output is None or name != output.name)
    ]
    if names != [None, *dict.fromkeys(beside)] or len({file.kind for file in files}) < len(files):
        raise OpanasError(
            f"the exporter '{exporter.name}' gives {names} as the names of its files; the output, None, must come "
            "first, and names and kinds must differ"
        )
    if output is None and (len(files) > 1 or isinstance(files[0].content, bytes)):
        what = "writes several files" if len(files) > 1 else "is not text"
        raise UsageError(f"--to {exporter.name}: {what}; choose a file with -o FILE")
    return files
