"""What a training reports as it goes: each step, its first and last losses, and a loss that is not finite."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner

from opanas_cli.errors import OpanasError


@dataclass(frozen=True)
class TrainingStep:
    """The position of a training run; `loss` is that of this step."""

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float


OnStep = Callable[[TrainingStep], None]

LOSS_WINDOW = 10

MOST_IN_A_ROW = 10
"""Steps; after so many a loss scale has fallen to a thousandth, and the network itself overflows."""


class FiniteLoss:
    """Ends a training whose loss is not finite: at once, or at the tenth step in a row with a loss scale.

    The gradients of such a step overflow, so that mmengine's AmpOptimWrapper skips it and scales the next one less. All
    processes must give the same loss, so that all end. `way_out` says what the user can do about it.
    """

    def __init__(self, way_out: str) -> None:
        self.way_out = way_out
        self.in_a_row = 0

    def require(self, loss: float, step: int, optim_wrapper: OptimWrapper) -> None:
        """Check the loss of a step, the first being 1; each step is checked once.

        Raises OpanasError if it is not finite, and no loss scale compensates for it.
        """
        self.in_a_row = 0 if math.isfinite(loss) else self.in_a_row + 1
        if not self.in_a_row:
            return
        scaler = getattr(optim_wrapper, "loss_scaler", None)
        if scaler is None or not scaler.is_enabled() or self.in_a_row == MOST_IN_A_ROW:
            raise OpanasError(f"the loss is {loss} at step {step}; {self.way_out}")


class ProgressHook(Hook):
    """Reports every training step to a callback, and keeps the losses at the start and at the end of the training.

    They are kept in the checkpoints too, so that those of a resumed run are those of the whole of it. `finite_loss`
    checks the loss of every step; it is None if the network does so itself, before it updates.
    """

    def __init__(self, on_step: OnStep | None, finite_loss: FiniteLoss | None = None) -> None:
        self.on_step = on_step
        self.finite_loss = finite_loss
        self.first: list[float] = []
        self.last: list[float] = []

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        loss = float(outputs["loss"])
        if self.finite_loss is not None:
            self.finite_loss.require(loss, runner.iter + 1, runner.optim_wrapper)
        if not math.isfinite(loss):
            return
        self.first = [*self.first, loss][:LOSS_WINDOW]
        self.last = [*self.last, loss][-LOSS_WINDOW:]
        if self.on_step is not None:
            self.on_step(TrainingStep(runner.epoch + 1, runner.max_epochs, runner.iter + 1, runner.max_iters, loss))

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        checkpoint["losses"] = {"first": self.first, "last": self.last}

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        if runner._resume:  # And not weights of `load_from`, to begin with.
            self.first, self.last = checkpoint["losses"]["first"], checkpoint["losses"]["last"]

    def mean_losses(self, steps: int) -> tuple[float, float]:
        """The means over the first and over the last steps of so many: over ten, or fewer if they would overlap."""
        window = min(LOSS_WINDOW, (steps + 1) // 2)
        return _mean(self.first[:window]), _mean(self.last[-window:])


def _mean(losses: list[float]) -> float:
    return sum(losses) / len(losses) if losses else math.nan  # There are none if a loss scale skipped all steps.
