"""What is in a work dir: read file by file, so that one that is missing or corrupt hides none of the others."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

from opanas_cli.drawing.report.markup import entry
from opanas_cli.drawing.report.training_logs import MAX_BYTES, Training, read_training
from opanas_cli.errors import InvalidInputError, OpanasError
from opanas_cli.formats import GenotypeRecord, read_record
from opanas_cli.json_lines import read_lines, without_checksum
from opanas_cli.regular_files import open_regular, read_regular
from opanas_cli.search import Candidate
from opanas_cli.search.history import recorded_search

SUPER_NET_LOG = "train-supernet"
MOST_FOLDERS = 200
"""Folders inside a work dir that are searched for trainings."""


@dataclass
class WorkDir:
    """A work dir as far as it can be read.

    `settings` are those of the search. `documents` and `rows` are in the JSON files and the JSON lines of trainings, by
    the file's name; `trained` are trainings of single detectors by the folder of their log. `missing` names the files
    that are not there; `problems` says of each that cannot be read, or not to its end, why.
    """

    folder: Path
    settings: dict[str, Any] = field(default_factory=dict)
    candidates: list[Candidate] = field(default_factory=list)
    best: GenotypeRecord | None = None
    documents: dict[str, dict[str, Any]] = field(default_factory=dict)
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    super_net: Training | None = None
    trained: dict[str, Training] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)

    def setting(self, *keys: str) -> Any:
        """A setting of the search by its keys; None if it is not known."""
        return entry(self.settings, *keys)

    @property
    def metric(self) -> str:
        """What the search maximises."""
        return str(self.setting("metric") or "AP")


def read_work_dir(folder: Path) -> WorkDir:
    """Read a work dir, of a run that goes on too.

    Raises:
        InvalidInputError: it is not a folder that can be read.
    """
    try:
        folders = sorted(path.name for path in folder.iterdir() if path.is_dir())[:MOST_FOLDERS]
    except OSError as error:
        reason = error.strerror or str(error)
        raise InvalidInputError(f"{folder}: cannot be read ({reason}); give the --work-dir of a search") from error
    found = WorkDir(folder)
    readers = {name: read for name, (_, read) in FILES.items()}
    logs = [SUPER_NET_LOG, "retrain", *(f"{name}/retrain" for name in folders)]
    for name in [*readers, *logs]:
        try:
            if (folder / name).exists():
                readers.get(name, _read_log)(found, name)
            elif name in readers:
                found.missing.append(name)
        except (OpanasError, OSError, ValueError, BadZipFile, RecursionError) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            found.problems[name] = reason.removeprefix(f"{folder / name}: ")
    return found


def _require_zip(found: WorkDir, name: str) -> None:
    """A checkpoint is a zip, as torch writes it; its weights are not read."""
    with open_regular(found.folder / name) as file, ZipFile(file):
        pass


def _read_history(found: WorkDir, name: str) -> None:
    found.settings, candidates = recorded_search(found.folder / name)
    for candidate in candidates:  # One by one: those before a corrupt line count.
        found.candidates.append(candidate)


def _read_best(found: WorkDir, name: str) -> None:
    found.best = read_record(found.folder / name)


def _read_document(found: WorkDir, name: str) -> None:
    document = json.loads(read_regular(found.folder / name, MAX_BYTES), parse_constant=lambda _: None)
    if not isinstance(document, dict):
        raise InvalidInputError(f"expected an object, but got a {type(document).__name__}")
    found.documents[name] = document


def _read_rows(found: WorkDir, name: str) -> None:
    """The rows of an experiment's trainings, but a last line that is still being written."""
    rows = found.rows[name] = []
    whole, _ = read_lines(found.folder / name)
    for number, line in enumerate(whole.splitlines(), 1):
        try:
            rows.append(without_checksum(line.decode()))
        except (ValueError, RecursionError) as error:
            raise InvalidInputError(f"line {number} is not a row as it was written") from error


def _read_log(found: WorkDir, name: str) -> None:
    training = read_training(found.folder / name)
    if training is not None and name == SUPER_NET_LOG:
        found.super_net = training
    elif training is not None:
        found.trained[name] = training


FILES: dict[str, tuple[str, Callable[[WorkDir, str], None]]] = {
    "supernet.pth": ("opanas train-supernet", _require_zip),
    "history.jsonl": ("opanas evolve", _read_history),
    "best.json": ("opanas evolve", _read_best),
    "population.json": ("opanas evolve", _read_document),
    "finalists.jsonl": ("opanas evolve --finalists", _read_rows),
    "comparison.jsonl": ("opanas compare", _read_rows),
    "comparison.json": ("opanas compare", _read_document),
    "correlation.jsonl": ("opanas correlate", _read_rows),
    "correlation.json": ("opanas correlate", _read_document),
    "search.json": ("opanas search", _read_document),
}
"""The files that a report is about: the command that writes each, and how it is read."""
