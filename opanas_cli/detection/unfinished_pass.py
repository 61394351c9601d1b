"""A pass over the images that may be killed: what it has found is put on disk now and then, and taken up again."""

from __future__ import annotations

import contextlib
import hashlib
import io
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmengine.dist import get_rank, get_world_size

from opanas_cli.atomic import write_atomically
from opanas_cli.detection.pass_result import PassResult
from opanas_cli.formats.text import line_of
from opanas_cli.genotype import Genotype

SECONDS_BETWEEN_SAVES = 60.0


class UnfinishedPass:
    """Keeps the results for one population at a time as files in `folder`, each process its own.

    Args:
        folder: made when there is something to keep.
        facts: what else than the genotypes the results depend on; files of other facts are not used.
        seconds: how much work may be lost.
    """

    def __init__(self, folder: Path, facts: str, seconds: float = SECONDS_BETWEEN_SAVES) -> None:
        self.folder = folder
        self.facts = facts
        self.seconds = seconds
        self._population = ""
        self._name = ""
        self._num_files = 0
        self._unsaved = PassResult.none(0)
        self._saved_at = 0.0

    def begin(self, genotypes: Sequence[Genotype]) -> None:
        """Go over to a population: the files of others are deleted."""
        text = "\n".join([self.facts, *map(line_of, genotypes)])
        self._population = hashlib.sha256(text.encode()).hexdigest()[:16]
        for file in self._files("*"):
            if not file.name.startswith(f"{self._population}-"):
                file.unlink(missing_ok=True)

    def known(self, stage: int, num_candidates: int) -> PassResult:
        """What was kept of a stage of the population's evaluation; what is added from now on belongs to it."""
        self._name = f"{self._population}-{stage}"
        known = PassResult.none(num_candidates)
        files = self._files(self._name)
        for file in files:
            part = _read(file)
            if part is not None and len(part.found) == num_candidates:
                known.add(part)
        self._num_files = len(files)
        self._unsaved = PassResult.none(num_candidates)
        self._saved_at = time.monotonic()
        return known

    def add(self, result: PassResult) -> None:
        """One batch more.

        Raises:
            OpanasError: the folder cannot be written to.
        """
        self._unsaved.add(result)
        if time.monotonic() - self._saved_at >= self.seconds:
            content = io.BytesIO()
            np.savez(content, **self._unsaved.arrays())
            name = f"{self._name}-{self._num_files:06d}-{_process()}.npz"
            write_atomically(self.folder / name, content.getvalue())
            self._num_files += 1
            self._unsaved = PassResult.none(len(result.found))
            self._saved_at = time.monotonic()

    def delete(self) -> None:
        """Forget everything, when nothing will be taken up again."""
        for file in self._files("*"):
            file.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # It was never made, or another process has files there or was quicker.
            self.folder.rmdir()

    def _files(self, name: str) -> list[Path]:
        """This process's files of that name, those first that were written first."""
        return sorted(self.folder.glob(f"{name}-*-{_process()}.npz"))


def _process() -> str:
    return f"{get_rank()}-of-{get_world_size()}"


def _read(file: Path) -> PassResult | None:
    """The content of a file of `UnfinishedPass.add`, None where it is broken: its images are then run again."""
    try:
        with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as arrays:
            return PassResult.from_arrays(arrays)
    except (OSError, EOFError, KeyError, ValueError, TypeError, zipfile.BadZipFile):
        return None
