"""Augmentation that any process can repeat: what is drawn for an image depends on its position in the run alone.

So it depends neither on the number of worker processes nor on what they drew before, and a run that is resumed in the
middle of an epoch gets the images that the uninterrupted one would have got.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from mmengine.dist import get_rank
from torch.utils.data import DataLoader

from opanas_cli.detection.processes.loader_workers import OutlivingLoader
from opanas_cli.detection.processes.random_states import seeded


class SeededBatches:
    """Batches of (index, seed) pairs in place of the indices of another batch sampler.

    Args:
        batches: the batch sampler. What it draws at random, by whatever generator, follows from `seed` and the epoch.
        seed: of the run, the same in all of its processes.
    """

    def __init__(self, batches: Any, seed: int) -> None:
        self.batches = batches
        # mmengine's hooks read these two.
        self.sampler = batches.sampler
        self.batch_size = batches.batch_size
        self.seed = seed
        self.begin(0, 0)

    def begin(self, epoch: int, first: int) -> None:
        """Let the next iteration be that of an epoch, from batch `first` on."""
        self.epoch, self.first = epoch, first
        if hasattr(self.sampler, "set_epoch"):
            self.sampler.set_epoch(epoch)

    def __iter__(self) -> Iterator[list[tuple[Any, int]]]:
        with seeded(_seed(self.seed, self.epoch)):
            batches = [list(batch) for batch in self.batches]
        for number in range(self.first, len(batches)):
            places = (self.epoch, get_rank(), number)
            yield [(index, _seed(self.seed, *places, place)) for place, index in enumerate(batches[number])]

    def __len__(self) -> int:
        """The batches of a whole epoch."""
        return len(self.batches)


class SeededSamples:
    """A data set whose samples are requested as (index, seed) pairs; in all else it is the other data set."""

    def __init__(self, dataset: Any) -> None:
        self.__dict__["dataset"] = dataset

    def __getitem__(self, place: tuple[Any, int]) -> Any:
        index, seed = place
        with seeded(seed):
            return self.dataset[index]

    def __len__(self) -> int:
        return len(self.dataset)

    def __getattr__(self, name: str) -> Any:
        if name == "dataset":  # Not there yet, while a worker process unpickles it.
            raise AttributeError(name)
        return getattr(self.dataset, name)

    def __setattr__(self, name: str, value: Any) -> None:
        # Hooks switch the pipeline of a data set while it is trained on.
        setattr(self.dataset, name, value)


def seeded_loader(loader: DataLoader, seed: int) -> DataLoader:
    """A loader of the same batches, by the same number of workers, whose `batch_sampler` is `SeededBatches`.

    SIGTERM to all processes of a run does not end the workers, so that the run can end its step and be saved.
    """
    options = ("num_workers", "collate_fn", "pin_memory", "timeout", "persistent_workers")
    workers = ("prefetch_factor", "multiprocessing_context") if loader.num_workers else ()
    return OutlivingLoader(
        SeededSamples(loader.dataset),
        batch_sampler=SeededBatches(loader.batch_sampler, seed),
        # Of its own, for the seeds of the workers: by default each epoch draws one from torch's.
        generator=torch.Generator(),
        worker_init_fn=loader.worker_init_fn,
        **{name: getattr(loader, name) for name in (*options, *workers)},
    )


def _seed(*places: int) -> int:
    """A number of 63 bits."""
    return int(np.random.SeedSequence(places).generate_state(1, np.uint64)[0] >> 1)
