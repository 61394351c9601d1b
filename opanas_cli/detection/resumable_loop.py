"""mmengine's loop over epochs, able to go on at any batch of one."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from mmengine.dist import all_reduce
from mmengine.runner import EpochBasedTrainLoop, Runner

from opanas_cli.detection.sample_seeds import seeded_loader
from opanas_cli.termination import Terminated, asked_to_end

GO_ON, SAVE, SAVE_AND_END = range(3)


class ResumableTrainLoop(EpochBasedTrainLoop):
    """Trains by epochs, and saves the run at the end of each and every so often in between.

    Its batches are seeded one by one (see `SeededBatches`), and mmengine's own loop restarts an epoch from its first
    batch.

    Args:
        minutes: the most between two checkpoints, but for the length of a step; None for no limit.
        steps: the most steps between two checkpoints; None for no limit.
        others: as for mmengine's `EpochBasedTrainLoop`.
    """

    save: Callable[[Runner], None]
    """Keeps the run as it is; set by `build_runner`. All processes call it at the same step."""

    def __init__(
        self, runner: Runner, dataloader: Any, minutes: float | None = 10, steps: int | None = None, **others: Any
    ) -> None:
        super().__init__(runner, dataloader, **others)
        if self.val_interval > self.max_epochs:
            self.val_begin = self.val_interval  # mmengine would validate after the last epoch all the same.
        self.dataloader = seeded_loader(self.dataloader, runner.seed)
        self.minutes, self.steps = minutes, steps
        self._batch = 0
        self._before_next_step: Callable[[], None] | None = None
        self._saved()

    @property
    def position(self) -> dict[str, int]:
        """The steps done, the epochs done, and the batches done of the next epoch."""
        return {"step": self._iter, "epoch": self._epoch, "batch": self._batch}

    def go_on(self, position: dict[str, int], before_next_step: Callable[[], None]) -> None:
        """Begin at a position instead of the first step.

        Args:
            before_next_step: is called when nothing but steps is to come; hooks and workers have started then.
        """
        self._iter, self._epoch, self._batch = position["step"], position["epoch"], position["batch"]
        self._before_next_step = before_next_step
        self._saved()

    def run_epoch(self) -> None:
        """The rest of one epoch."""
        self.runner.call_hook("before_train_epoch")
        self.runner.model.train()
        self.dataloader.batch_sampler.begin(self._epoch, self._batch)
        batches = enumerate(self.dataloader, self._batch)
        if self._before_next_step is not None:
            self._before_next_step()
            self._before_next_step = None
        with asked_to_end() as asked:
            for index, batch in batches:
                self.run_iter(index, batch)
                self._batch = index + 1
                # The last batch of an epoch has its checkpoint below; gradients that wait for an update have none.
                if self._batch < len(self.dataloader) and self._iter % self._steps_per_update == 0:
                    self._save_where_due(asked())
            self.runner.call_hook("after_train_epoch")
            self._epoch += 1
            self._batch = 0
            self._save()

    @property
    def _steps_per_update(self) -> int:
        return getattr(self.runner.optim_wrapper, "_accumulative_counts", 1)

    def _save_where_due(self, end: bool) -> None:
        due = (self.steps is not None and self._iter - self._saved_step >= self.steps) or (
            self.minutes is not None and time.monotonic() - self._saved_time >= 60 * self.minutes
        )
        wish = torch.tensor(SAVE_AND_END if end else SAVE if due else GO_ON)
        all_reduce(wish, "max")  # Clocks differ, and a signal may reach one process alone.
        if wish >= SAVE:
            self._save()
        if wish == SAVE_AND_END:
            raise Terminated

    def _save(self) -> None:
        self.save(self.runner)
        self._saved()

    def _saved(self) -> None:
        self._saved_step, self._saved_time = self._iter, time.monotonic()
