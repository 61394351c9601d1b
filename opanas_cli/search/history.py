"""The history of a search: every evaluation is on disk as soon as it is known, so that none is repeated.

A file of JSON lines: a header with all settings that decide the course of the search, then one candidate per line, each
line with its checksum. Lines contain nothing that differs between runs, so the same settings give the same bytes,
interrupted or not.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from opanas_cli.atomic import write_atomically
from opanas_cli.errors import InvalidInputError, OpanasError, UsageError
from opanas_cli.genotype import Genotype, SearchSpace, SpaceKind
from opanas_cli.json_lines import append_line, read_lines, truncate, with_checksum
from opanas_cli.search.candidate import Candidate, Origin, Proposal
from opanas_cli.search.cost import Cost
from opanas_cli.search.settings import SearchSettings, differences

FORMAT = "opanas-history"
VERSION = 2
"""Lines of version 1 had no checksum. Its files cannot be resumed: they lack facts that a search now records."""


class History:
    """The candidates evaluated so far, `recorded`, and the file that the next ones are appended to.

    Without a `path` nothing is written: for tests, and for all but the first process of a distributed search.
    """

    def __init__(self, recorded: Sequence[Candidate] = (), path: Path | None = None) -> None:
        self.recorded = list(recorded)
        self._path = path

    @classmethod
    def create(cls, path: Path, settings: SearchSettings) -> History:
        """Begin a new file.

        Raises:
            UsageError: the file already exists.
            OpanasError: the file cannot be written.
        """
        if path.exists():
            raise UsageError(
                f"{path}: a search already exists; add --resume to continue it, or choose another --work-dir"
            )
        write_atomically(path, _header_of(settings.document()) + "\n")
        return cls((), path)

    @classmethod
    def resume(cls, path: Path, settings: SearchSettings) -> History:
        """Continue a file, or begin it if there is none.

        A last line that was cut short when the search was killed is dropped from the file, with a warning.

        Raises:
            UsageError: the file is of a search with other settings; the message gives the differences.
            InvalidInputError: the file is no history, or a line is corrupt; the message says which.
            OpanasError: the file cannot be read or written.
        """
        header = _header_of(settings.document())
        whole, torn = read_lines(path)
        if not whole and header.encode().startswith(torn):
            write_atomically(path, header + "\n")
            return cls((), path)
        lines = _lines(path, whole or torn)
        if changes := "; ".join(differences(_settings_in(path, lines[0]), settings.document())):
            raise UsageError(
                f"{path}: belongs to a different search: {changes}; use its settings or another --work-dir"
            )
        recorded = list(_candidates(path, lines[1:], settings.space.kind))
        if torn:
            warnings.warn(f"{path}: line {len(lines) + 1} was cut short and is evaluated again", stacklevel=2)
            truncate(path, len(whole))
        return cls(recorded, path)

    def append(self, candidate: Candidate) -> None:
        """Add a candidate; when this returns it is on the disk.

        Raises:
            OpanasError: the file cannot be written.
        """
        if self._path is not None:
            append_line(self._path, dump_candidate(candidate))
        self.recorded.append(candidate)


def recorded_search(path: Path) -> tuple[dict[str, Any], Iterator[Candidate]]:
    """`SearchSettings.document` in a file, and its candidates; both empty without a file.

    Another process may be writing it: a last line without its end is left out.

    Raises:
        InvalidInputError: it is no history. The iterator raises it at the first line that is corrupt, or that holds no
            genotype of the space.
    """
    whole, _ = read_lines(path)
    if not whole:
        return {}, iter(())
    header, *lines = _lines(path, whole)
    settings = _settings_in(path, header)
    try:
        space = SearchSpace.of_document(settings["space"])
    except (KeyError, TypeError, InvalidInputError) as error:
        raise InvalidInputError(f"{path}: line 1 has no search space ({error}); choose another --work-dir") from error
    return settings, _within(space, _candidates(path, lines, space.kind), path)


def _within(space: SearchSpace, candidates: Iterator[Candidate], path: Path) -> Iterator[Candidate]:
    for candidate in candidates:
        if candidate.genotype not in space:
            line = candidate.index + 2
            raise InvalidInputError(f"{path}: line {line} is no genotype of the space in line 1; {_way_out(line)}")
        yield candidate


def recorded_evaluation(path: Path) -> dict[str, Any]:
    """`SearchSettings.evaluation` in a file; InvalidInputError if it is no history."""
    whole, _ = read_lines(path)
    found = _settings_in(path, _lines(path, whole)[0]).get("evaluation") if whole else {}
    if not isinstance(found, dict):
        raise InvalidInputError(f"{path}: line 1: evaluation must be an object; choose another --work-dir")
    return found


def _header_of(settings: object) -> str:
    return with_checksum({"format": FORMAT, "version": VERSION, "settings": settings})


def _lines(path: Path, content: bytes) -> list[str]:
    try:
        return content.decode().removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InvalidInputError(f"{path}: line {line} is not UTF-8; {_way_out(line)}") from error


def _settings_in(path: Path, line: str) -> dict[str, Any]:
    """The settings in a header."""
    try:
        header = json.loads(line)
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise InvalidInputError(f"{path}: line 1 is not the header of a search's history; choose another --work-dir")
    if header.get("version") != VERSION:
        got = json.dumps(header.get("version"))
        raise InvalidInputError(
            f"{path}: line 1: this release reads histories of version {VERSION}, but got {got}; choose another "
            "--work-dir"
        )
    if not isinstance(header.get("settings"), dict) or line != _header_of(header["settings"]):
        raise InvalidInputError(f"{path}: line 1 is not the header as it was written; choose another --work-dir")
    settings: dict[str, Any] = header["settings"]
    return settings


def _candidates(path: Path, lines: Sequence[str], space: SpaceKind) -> Iterator[Candidate]:
    for index, line in enumerate(lines):
        try:
            yield load_candidate(line, index, space)
        except InvalidInputError as error:
            raise InvalidInputError(f"{path}: line {index + 2} is {error}; {_way_out(index + 2)}") from error


def _way_out(line: int) -> str:
    return f"delete the file from line {line} on to evaluate again from there"


def dump_candidate(candidate: Candidate) -> str:
    """One line, without its newline; paths in flat order. The same candidate always gives the same text."""
    proposal = candidate.proposal
    fields = {
        "index": candidate.index,
        "generation": proposal.generation,
        "origin": proposal.origin,
        "parents": proposal.parents,
        "paths": proposal.genotype.paths,
        "cost": candidate.cost.document(),
        "fitness": candidate.fitness,
        "metrics": dict(candidate.metrics),
        **({"image_share": candidate.image_share} if candidate.image_share < 1 else {}),
    }
    return with_checksum(fields)


def load_candidate(line: str, index: int, space: SpaceKind) -> Candidate:
    """The candidate of a line; InvalidInputError if `dump_candidate` did not write it, or for another index."""
    try:
        candidate = _candidate(json.loads(line), space)
        intact = dump_candidate(candidate) == line
    except KeyError as error:
        raise InvalidInputError(f"not a candidate ({error} is missing)") from error
    except (ValueError, OverflowError, TypeError, AttributeError, RecursionError, OpanasError) as error:
        raise InvalidInputError(f"not a candidate ({error})") from error
    if not intact or candidate.index != index:
        raise InvalidInputError(f"not candidate {index} as it was written")
    return candidate


def _candidate(fields: Mapping[str, Any], space: SpaceKind) -> Candidate:
    genotype = Genotype.of(fields["paths"], space)
    parents = tuple(int(parent) for parent in fields["parents"])
    proposal = Proposal(genotype, int(fields["generation"]), Origin(fields["origin"]), parents)
    latency = {name: float(value) for name, value in fields["cost"].items() if name == "latency_ms"}
    cost = Cost(int(fields["cost"]["macs"]), int(fields["cost"]["params"]), **latency)
    metrics = {name: float(value) for name, value in fields["metrics"].items()}
    share = float(fields.get("image_share", 1.0))
    return Candidate(int(fields["index"]), proposal, cost, float(fields["fitness"]), metrics, share)
