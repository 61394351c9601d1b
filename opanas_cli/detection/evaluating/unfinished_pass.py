"""A pass over the images that may be killed: what it has found is saved now and then, and resumed."""

from __future__ import annotations

import contextlib
import hashlib
import io
import time
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from mmengine.dist import barrier, get_rank, get_world_size

from opanas_cli.atomic import write_atomically
from opanas_cli.detection.evaluating.pass_result import PassResult
from opanas_cli.formats.text import line_of
from opanas_cli.genotype import Genotype
from opanas_cli.regular_files import read_regular

SECONDS_BETWEEN_SAVES = 60.0


class UnfinishedPass:
    """Keeps the results for one population at a time as files in `folder`, each process of a run its own.

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
        """Change to a population: the files of others are deleted."""
        self._population = _digest([self.facts, *map(line_of, genotypes)])
        if get_rank() == 0:
            for file in self._files("*"):
                if not file.name.startswith(f"{self._population}-"):
                    file.unlink(missing_ok=True)

    def known(self, round_number: int, genotypes: Sequence[Genotype], batches: Sequence[Sequence[int]]) -> PassResult:
        """What was kept of the images of `batches` in a round of the population's evaluation, by whatever process.

        What is added from now on belongs to that round. `genotypes` are those that the round evaluates: what was kept
        of others is not used, since a ranking that chose them may differ when the search is resumed.
        """
        num_candidates = len(genotypes)
        self._name = f"{self._population}-{round_number}-{_digest(map(line_of, genotypes))}"
        self._unsaved = PassResult.none(num_candidates)
        self._saved_at = time.monotonic()
        files = self._files(self._name)
        self._num_files = len(files)
        wanted = {position for batch in batches for position in batch}
        known = PassResult.none(num_candidates)
        for file in files:
            part = _read(file)
            if part is not None and len(part.found) == num_candidates:
                known.add(part.of_images(wanted))
        return known

    def add(self, result: PassResult) -> None:
        """Add the result of one batch; raises OpanasError if the folder cannot be written to."""
        self._unsaved.add(result)
        if time.monotonic() - self._saved_at >= self.seconds:
            self._save()

    def end_round(self) -> None:
        """Keep the rest of a round that was long enough to be kept so far: putting it together takes long too.

        Raises OpanasError if the folder cannot be written to.
        """
        if self._num_files and self._unsaved.truths:
            self._save()

    def delete(self) -> None:
        """Delete everything, when nothing will be resumed any more; all processes must have come here."""
        barrier()
        if get_rank() == 0:
            for file in self._files("*"):
                file.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # It was never made, or has other files.
                self.folder.rmdir()

    def _save(self) -> None:
        content = io.BytesIO()
        np.savez(content, **self._unsaved.arrays())
        name = f"{self._name}-{self._num_files:06d}-{get_rank()}-of-{get_world_size()}.npz"
        write_atomically(self.folder / name, content.getvalue())
        self._num_files += 1
        self._unsaved = PassResult.none(len(self._unsaved.found))
        self._saved_at = time.monotonic()

    def _files(self, name: str) -> list[Path]:
        """The files of that name of all processes."""
        return sorted(self.folder.glob(f"{name}-*-of-*.npz"))


def _digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _read(file: Path) -> PassResult | None:
    """The content of a file of `UnfinishedPass.add`, None if it is broken: its images are then run again."""
    try:
        with np.load(io.BytesIO(read_regular(file)), allow_pickle=False) as arrays:
            return PassResult.from_arrays(arrays)
    except (OSError, EOFError, KeyError, ValueError, TypeError, zipfile.BadZipFile):
        return None
