"""A file with a row for each training of an experiment, which several processes may share."""

from __future__ import annotations

import warnings
from collections.abc import Collection
from pathlib import Path
from typing import Any

from filelock import FileLock

from opanas_cli.errors import InvalidInputError, UsageError
from opanas_cli.json_lines import append_line, read_lines, truncate, with_checksum, without_checksum

Row = dict[str, Any]
"""``network``, ``seed``, ``settings`` (the digest of what decides the training), and what was found."""


class TrainingLog:
    """A file of JSON lines, one for each finished training.

    Args:
        path: the file; made by the first row.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = FileLock(path.with_name(f".{path.name}.lock"))

    def rows(self) -> list[Row]:
        """All rows, in the order in which they were written.

        Raises:
            InvalidInputError: the file is corrupt; the message says at which line.
        """
        whole, _ = read_lines(self.path)
        return [self._row(number, line) for number, line in enumerate(whole.splitlines(), 1)]

    def rows_of(self, networks: Collection[str], seeds: Collection[int]) -> list[Row]:
        """The rows of some networks and seeds; a work dir may have more."""
        return [row for row in self.rows() if row["network"] in networks and row["seed"] in seeds]

    def add(self, row: Row) -> None:
        """Add a row; when this returns it is on the disk.

        A last line that was cut short when its process was killed is dropped, with a warning.

        Raises:
            OpanasError: the file cannot be written.
        """
        with self._lock:
            whole, torn = read_lines(self.path)
            if torn:
                warnings.warn(f"{self.path}: the last line was cut short and is dropped", stacklevel=2)
                truncate(self.path, len(whole))
            append_line(self.path, with_checksum(row))

    def require_none(self) -> None:
        """Raise UsageError if the file has rows, so that only --resume adds to them."""
        if self.path.exists():
            raise UsageError(f"{self.path}: already exists; add --resume to continue, or choose another --work-dir")

    def _row(self, number: int, line: bytes) -> Row:
        try:
            row = without_checksum(line.decode())
            if not {"network", "seed", "settings"} <= row.keys():
                raise ValueError("not a training")
        except (ValueError, RecursionError) as error:
            raise InvalidInputError(
                f"{self.path}: line {number} is not a row as it was written; delete the line to train again"
            ) from error
        return row
