"""Measures what a training costs, over all the parts of a run that was resumed."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner

from opanas_cli.detection.spent import Meter, Spent


class SpentHook(Hook):
    """Counts the images of every step, and keeps what the training has cost so far in the checkpoints."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.meter = Meter(device)
        self.images = 0

    def before_train(self, runner: Runner) -> None:
        """Start the clock."""
        self.meter = Meter(self.device, self.meter.before)

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Count the images of a batch, or of both of a mixture's."""
        parts = [data_batch] if "inputs" in data_batch else data_batch.values()
        self.images += sum(len(part["inputs"]) for part in parts) * get_world_size()

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Keep the cost so far."""
        checkpoint["spent"] = self.spent().document()

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Take the cost so far, if a run is resumed."""
        if runner._resume:
            self.meter.before = Spent.of(checkpoint.get("spent", {}))

    def spent(self, evaluations: int = 0) -> Spent:
        """The cost of the training so far."""
        return self.meter.spent(self.images, evaluations)
