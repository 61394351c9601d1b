"""What the stages of a search cost, in the units in which methods are compared (Table 6)."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import all_gather_object, get_world_size, is_main_process

from opanas_cli.atomic import write_atomically
from opanas_cli.errors import InvalidGenotypeError
from opanas_cli.formats import read_record
from opanas_cli.regular_files import read_regular
from opanas_cli.search import Progress


@dataclass(frozen=True)
class Spent:
    """The cost of one stage.

    Attributes:
        device_seconds: wall-clock seconds of the work, summed over the devices.
        images: that went through the backbone; one that several sub-nets see together counts once.
        evaluations: sub-nets whose average precision was measured.
        peak_memory_mb: the most memory that one process held, in 10**6 bytes: on CUDA what torch allocated, on a CPU
            all of the process.
    """

    device_seconds: float = 0.0
    images: int = 0
    evaluations: int = 0
    peak_memory_mb: float = 0.0

    @classmethod
    def of(cls, document: Any) -> Spent:
        """What a file says; raises ValueError if it is anything else."""
        known = asdict(cls())
        if not isinstance(document, Mapping) or not known.keys() >= document.keys():
            raise ValueError(f"expected {', '.join(known)}, but got {document!r:.60}")
        if not all(type(value) in (int, float) and value >= 0 for value in document.values()):
            raise ValueError(f"expected numbers of at least 0, but got {document!r:.60}")
        return cls(**document)

    def __add__(self, other: Spent) -> Spent:
        return Spent(
            self.device_seconds + other.device_seconds,
            self.images + other.images,
            self.evaluations + other.evaluations,
            max(self.peak_memory_mb, other.peak_memory_mb),
        )

    def document(self) -> dict[str, float]:
        """As JSON-able values."""
        return asdict(self)


class Meter:
    """Measures a stage from its construction on.

    Args:
        before: what the stage had cost before it was resumed.
    """

    def __init__(self, device: torch.device, before: Spent | None = None) -> None:
        self.device = device
        self.before = before or Spent()
        self.started = time.perf_counter()
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)

    def spent(self, images: int, evaluations: int) -> Spent:
        """The cost so far, as far as this process knows it; images and evaluations are those of all processes."""
        seconds, peak_mb = self.measured()
        return self.before + Spent(round(seconds * get_world_size(), 3), images, evaluations, round(peak_mb, 1))

    def measured(self) -> tuple[float, float]:
        """The seconds of this process, and its peak memory in 10**6 bytes."""
        return time.perf_counter() - self.started, _peak_mb(self.device)


def of_all_processes(spent: Spent) -> Spent:
    """The first process's cost with the most memory of any; all of them must call it."""
    everyone = all_gather_object(spent)
    return everyone[0] + Spent(peak_memory_mb=max(one.peak_memory_mb for one in everyone))


def _peak_mb(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    # Linux counts in kilobytes, macOS in bytes.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6


class SearchSpent:
    """Counts the images and the candidates of a search, and keeps the cost so far in a file until the search has ended.

    Args:
        folder: of the file.
        best: the ``best.json`` of the search, which has the cost once it has ended.
        resume: whether to go on from what is in one of the two.
    """

    def __init__(self, folder: Path, best: Path, device: torch.device, resume: bool) -> None:
        self.path = folder / "spent.json"
        self.meter = Meter(device, _before(self.path, best) if resume else None)
        self.num_images = self.num_candidates = 0
        self._pass = (0, 0)

    def images(self, done: int, total: int) -> None:
        """So many images of the current pass are done, which has `total`."""
        before, total_before = self._pass
        self.num_images += done - (before if total == total_before and done > before else 0)
        self._pass = (done, total)

    def candidate(self, progress: Progress) -> None:
        """The fitness of one more candidate is known."""
        if progress.resumed:
            return
        self.num_candidates += 1
        if is_main_process():
            write_atomically(self.path, json.dumps(self.spent().document()))

    def spent(self) -> Spent:
        """The cost so far, as this process knows it; to read what is known costs nothing."""
        if not self.num_candidates:
            return self.meter.before
        return self.meter.spent(self.num_images, self.num_candidates)

    def total(self) -> Spent:
        """The cost of the whole search; all processes must call it."""
        return of_all_processes(self.spent())

    def delete(self) -> None:
        """Delete the file, when the cost is in ``best.json``."""
        if is_main_process():
            self.path.unlink(missing_ok=True)


def _before(path: Path, best: Path) -> Spent | None:
    """What an earlier part of the search has cost, None if that is not known."""
    with suppress(OSError, ValueError):
        return Spent.of(json.loads(read_regular(path)))
    with suppress(InvalidGenotypeError, KeyError, TypeError, ValueError):
        return Spent.of(read_record(best).metadata["spent"]["evolve"])
    return None
