"""What is in a work dir: read file by file, so that one that is missing or corrupt hides none of the others."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from zipfile import BadZipFile, ZipFile

from opanas_cli.drawing.report.markup import entry
from opanas_cli.drawing.report.training_logs import MAX_BYTES, Training, read_training
from opanas_cli.errors import InvalidInputError, OpanasError
from opanas_cli.formats import GenotypeRecord, read_record
from opanas_cli.json_lines import read_lines, without_checksum
from opanas_cli.regular_files import open_regular, read_regular
from opanas_cli.search import Candidate
from opanas_cli.search.history import recorded_search

T = TypeVar("T")

SUPER_NET_LOG = "train-supernet"
MOST_FOLDERS = 200
"""Folders inside a work dir that are searched for trainings."""

FILES = {
    "supernet.pth": "opanas train-supernet",
    "history.jsonl": "opanas evolve",
    "best.json": "opanas evolve",
    "population.json": "opanas evolve",
    "finalists.jsonl": "opanas evolve --finalists",
    "comparison.jsonl": "opanas compare",
    "comparison.json": "opanas compare",
    "correlation.jsonl": "opanas correlate",
    "correlation.json": "opanas correlate",
    "quickstart.json": "opanas quickstart",
}
"""The files that a report is about, and the command that writes each."""


@dataclass
class WorkDir:
    """A work dir as far as it can be read.

    `documents` and `rows` are those of the JSON files and of the JSON lines of trainings, by the file's name;
    `trained` are the trainings of single detectors by their folder, ``.`` being the work dir; `problems` says of each
    file that is there and cannot be read why not.
    """

    folder: Path
    settings: dict[str, Any] = field(default_factory=dict)
    candidates: list[Candidate] = field(default_factory=list)
    best: GenotypeRecord | None = None
    documents: dict[str, dict[str, Any]] = field(default_factory=dict)
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    super_net: Training | None = None
    trained: dict[str, Training] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)

    @property
    def missing(self) -> list[str]:
        """The names of the files that are not there."""
        return [name for name in FILES if not (self.folder / name).exists()]

    def setting(self, *keys: str) -> Any:
        """A setting of the search by its keys; None if it is not known."""
        return entry(self.settings, *keys)


def read_work_dir(folder: Path) -> WorkDir:
    """Read a work dir, of a run that goes on too.

    Raises:
        InvalidInputError: it is not a folder that can be read.
    """
    try:
        folders = sorted(path for path in folder.iterdir() if path.is_dir())[:MOST_FOLDERS]
    except OSError as error:
        raise InvalidInputError(
            f"{folder}: cannot be read ({error.strerror or error}); give the --work-dir of a search"
        ) from error
    found = WorkDir(folder)

    def attempt(name: str, read: Callable[[], T]) -> T | None:
        try:
            return read()
        except (OpanasError, OSError, ValueError, BadZipFile, RecursionError) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            found.problems[name] = reason.removeprefix(f"{folder / name}: ")
            return None

    for name in [name for name in FILES if name not in found.missing]:
        if name == "supernet.pth":
            attempt(name, lambda: _require_zip(folder / "supernet.pth"))
        elif name == "best.json":
            found.best = attempt(name, lambda: read_record(folder / "best.json"))
        elif name == "history.jsonl":
            attempt(name, lambda: _read_history(found))
        elif name.endswith(".jsonl"):
            found.rows[name] = []
            attempt(name, lambda name=name: found.rows[name].extend(_rows(folder / name)))
        else:
            found.documents[name] = attempt(name, lambda name=name: _document(folder / name)) or {}
    found.super_net = attempt(SUPER_NET_LOG, lambda: read_training(folder / SUPER_NET_LOG))
    for place in [folder, *folders]:
        name = place.relative_to(folder).as_posix()
        log = f"{name}/retrain".removeprefix("./")
        training = attempt(log, lambda place=place: read_training(place / "retrain"))
        if training is not None:
            found.trained[name] = training
    return found


def _read_history(found: WorkDir) -> None:
    """Those candidates too that come before a corrupt line."""
    found.settings, candidates = recorded_search(found.folder / "history.jsonl")
    found.candidates.extend(candidates)


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of an experiment's trainings, but a last line that is still being written."""
    whole, _ = read_lines(path)
    for number, line in enumerate(whole.splitlines(), 1):
        try:
            yield without_checksum(line.decode())
        except (ValueError, RecursionError) as error:
            raise InvalidInputError(f"line {number} is not a row as it was written") from error


def _document(path: Path) -> dict[str, Any]:
    document = json.loads(read_regular(path, MAX_BYTES), parse_constant=lambda _: None)
    if not isinstance(document, dict):
        raise InvalidInputError(f"expected an object, but got a {type(document).__name__}")
    return document


def _require_zip(path: Path) -> None:
    """Raise an error unless a checkpoint is a whole zip, as torch writes it; its weights are not read."""
    with open_regular(path) as file, ZipFile(file):
        pass
