"""Training with several processes: each has the whole network and its own batches, and all make the same update.

With equal weights for every image, the mean of the processes' gradients is the gradient of all their batches. mmdet's
heads divide a loss by the number of samples or of positives in the batch: as in mmdet itself, by that of the batch of
one process (some heads ask the others).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import all_gather_object, all_reduce, all_reduce_params, get_world_size
from mmengine.model import MMDistributedDataParallel, is_model_wrapper
from mmengine.optim import OptimWrapper
from mmengine.registry import MODEL_WRAPPERS
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

BUCKET_MB = 32


def replicate(config: Config, wrapper: type[nn.Module]) -> None:
    """Make the Runner of `config` train one of several replicas, unless there is only one process."""
    if get_world_size() == 1:
        return
    config.launcher = "pytorch"  # The processes are already connected; this lets the Runner know of them.
    config.model_wrapper_cfg = dict(type=wrapper.__name__)
    if config.get("find_unused_parameters") and wrapper is DetectorReplica:
        config.model_wrapper_cfg.find_unused_parameters = True
    for evaluator in (config.get("val_evaluator"), config.get("test_evaluator")):
        for metric in evaluator if isinstance(evaluator, (list, tuple)) else [evaluator or {}]:
            if metric.get("type"):
                # mmengine would otherwise use files in the current folder, which machines may not share.
                metric.collect_device = "gpu"


@MODEL_WRAPPERS.register_module(force=True)
class SuperNetReplica(nn.Module):
    """The wrapper for mmengine's Runner of a `SuperNetDetector`, which exchanges gradients itself.

    DistributedDataParallel does not fit: it expects one backward pass through its own forward.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """As of the detector."""
        return self.module(*args, **kwargs)

    def train_step(self, data: Any, optim_wrapper: OptimWrapper) -> dict[str, Tensor]:
        """As of the detector."""
        return self.module.train_step(data, optim_wrapper)


@MODEL_WRAPPERS.register_module(force=True)
class DetectorReplica(MMDistributedDataParallel):
    """torch's DistributedDataParallel of a detector, with losses and batch norm's statistics of all processes."""

    def __init__(self, module: nn.Module, **options: Any) -> None:
        # mmengine passes a device by the local rank. Without it, it is the one that the module is on, also the CPU.
        super().__init__(module, **{**options, "device_ids": None, "broadcast_buffers": False})

    def train_step(self, data: Any, optim_wrapper: OptimWrapper) -> dict[str, Tensor]:
        """One update; returns the log variables, averaged over the processes."""
        logs = super().train_step(data, optim_wrapper)
        average_statistics(self.module)
        return mean_logs(logs)


def original(model: nn.Module) -> nn.Module:
    """The model of a Runner without the wrapper that makes it a replica."""
    return model.module if is_model_wrapper(model) else model


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace every gradient by its mean over the processes.

    A parameter with a gradient in one process gets one in all, so that their optimizers do the same: if a batch gives
    it none, it counts as zero. Parameters without any are left without.
    """
    if get_world_size() == 1:
        return
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    has_gradient = torch.tensor([parameter.grad is not None for parameter in trained], dtype=torch.int32)
    has_gradient = has_gradient.to(trained[0].device)
    all_reduce(has_gradient, "max")
    gradients = []
    for parameter, shared in zip(trained, has_gradient.tolist(), strict=True):
        if shared and parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        if shared:
            gradients.append(parameter.grad)
    all_reduce_params(gradients, bucket_size_mb=BUCKET_MB, op="mean")


def mean_logs(logs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Scalars of one batch as means over the processes: the same numbers in all, so that all stop where one must.

    mmdet's heads leave out what a batch has no samples for, so a mean is over the processes that have a value. Every
    process calls this after each of its batches.
    """
    if get_world_size() == 1:
        return logs
    everyone = all_gather_object({name: float(value) for name, value in logs.items()})
    values = {name: [own[name] for own in everyone if name in own] for own in everyone for name in own}
    return {name: torch.tensor(sum(found) / len(found)) for name, found in values.items()}


def average_statistics(model: nn.Module) -> None:
    """Replace batch norm's running statistics by their means over the processes, if training changes them."""
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm) and module.training]
    running = [value for norm in norms for value in (norm.running_mean, norm.running_var) if value is not None]
    all_reduce_params(running, op="mean")
