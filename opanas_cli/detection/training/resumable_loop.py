"""mmengine's loop over epochs, able to continue at any batch of one."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from mmengine.dist import all_gather_object, all_reduce, get_rank
from mmengine.runner import EpochBasedTrainLoop, Runner

from opanas_cli.detection.configs.building import images_of
from opanas_cli.detection.data.sample_seeds import seeded_loader
from opanas_cli.detection.processes.random_states import random_states, restore_random_states
from opanas_cli.detection.training.run_checkpoints import RunCheckpoints
from opanas_cli.errors import LongerRunError
from opanas_cli.termination import Terminated, asked_to_end

CONTINUE, SAVE, SAVE_AND_END = range(3)


class ResumableTrainLoop(EpochBasedTrainLoop):
    """Trains by epochs, and saves the run at the end of each and every so often in between.

    Its batches are seeded one by one (see `SeededBatches`), and mmengine's own loop restarts an epoch from its first
    batch. The loop owns the position of the run and its random states: `state` gives them for a checkpoint.

    Args:
        checkpoints: keep the run as it is. All processes save at the same step.
        resumed: the content of the checkpoint to continue from; None begins with the first step. Raises LongerRunError
            if it has more steps than are to be done.
        others: as for mmengine's `EpochBasedTrainLoop`.

    Attributes:
        begun: whether a step was done in this process.
    """

    def __init__(
        self,
        runner: Runner,
        dataloader: Any,
        checkpoints: RunCheckpoints,
        resumed: dict[str, Any] | None = None,
        **others: Any,
    ) -> None:
        super().__init__(runner, dataloader, **others)
        if self.val_interval > self.max_epochs:
            self.val_begin = self.val_interval  # mmengine would validate after the last epoch all the same.
        self.dataloader = seeded_loader(self.dataloader, runner.seed)
        self.checkpoints = checkpoints
        self.begun = False
        start = resumed["position"] if resumed else {"step": 0, "epoch": 0, "batch": 0}
        self._iter, self._epoch, self._batch = start["step"], start["epoch"], start["batch"]
        if self._iter > self.max_iters:
            raise LongerRunError(
                f"{checkpoints.folder}: has been trained for {self._iter / len(self.dataloader):g} epochs, more than "
                f"the {self.max_epochs} asked for; ask for as many, or choose another --work-dir"
            )
        self._random_states = resumed["random_states"][get_rank()] if resumed else None
        self._saved()

    @property
    def position(self) -> dict[str, int]:
        """The steps done, the epochs done, and the batches done of the next epoch."""
        return {"step": self._iter, "epoch": self._epoch, "batch": self._batch}

    def state(self) -> dict[str, Any]:
        """The position, and the random states of all processes in the order of their ranks; all of them must ask."""
        return {"position": self.position, "random_states": all_gather_object(random_states())}

    def run_epoch(self) -> None:
        """The rest of one epoch, and then what hooks do at its end.

        The run is saved before that: hooks may take as long as many steps, and SIGTERM ends them at once. A run that is
        resumed there has no batch left, and calls them again; if they took long, it is saved after them too.
        """
        self.runner.call_hook("before_train_epoch")
        self.runner.model.train()
        with asked_to_end() as asked:
            self._rest_of_batches(asked)
        self.runner.call_hook("after_train_epoch")
        self._epoch += 1
        self._batch = 0
        if self._updated:
            self._save_if_due(end=False)

    def _rest_of_batches(self, asked: Callable[[], bool]) -> None:
        self.dataloader.batch_sampler.begin(self._epoch, self._batch)
        batches = enumerate(images_of(self.dataloader, self.runner.cfg.filename), self._batch)
        if self._random_states is not None:  # Now, when hooks and workers have started and only steps are to come.
            restore_random_states(self._random_states)
            self._random_states = None
        for index, batch in batches:
            self.run_iter(index, batch)
            self.begun = True
            self._batch = index + 1
            if self._updated:
                self._save_if_due(asked())

    @property
    def _updated(self) -> bool:
        """Whether no gradients wait for an update: they are in no checkpoint."""
        steps_per_update = getattr(self.runner.optim_wrapper, "_accumulative_counts", 1)
        return self._iter % steps_per_update == 0 or self._iter == self.max_iters

    def _save_if_due(self, end: bool) -> None:
        due = self._batch == len(self.dataloader) or self.checkpoints.due(
            self._iter - self._saved_step, time.monotonic() - self._saved_time
        )
        request = torch.tensor(SAVE_AND_END if end else SAVE if due else CONTINUE)
        all_reduce(request, "max")  # Clocks differ, and a signal may reach one process alone.
        if request >= SAVE:
            self.checkpoints.save(self.runner)
            self._saved()
        if request == SAVE_AND_END:
            raise Terminated

    def _saved(self) -> None:
        self._saved_step, self._saved_time = self._iter, time.monotonic()
