"""Mixed precision: a forward pass whose convolutions and matrix products run in 16 bits, with weights in 32.

bfloat16 has the range of float32. float16 does not, and needs its gradients scaled up: mmengine's AmpOptimWrapper
skips a step if they overflow, and scales less from then on.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from torch import nn

from opanas_cli.detection.operators.stand_in import MODULE, StandIn
from opanas_cli.errors import InvalidConfigError


@OPTIM_WRAPPERS.register_module(force=True)
class CpuAmpOptimWrapper(OptimWrapper):
    """mmengine's AmpOptimWrapper for the CPU, which it refuses to run on: bfloat16, without a scale."""

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Inside, the forward pass runs in mixed precision."""
        with super().optim_context(model), torch.autocast("cpu", torch.bfloat16):
            yield


def use_mixed_precision(config: Config) -> None:
    """Have a Runner of `config` train in mixed precision.

    Raises InvalidConfigError if the config names a wrapper of another kind.
    """
    given = config.optim_wrapper.get("type", "OptimWrapper")
    if given not in ("OptimWrapper", "AmpOptimWrapper"):
        raise InvalidConfigError(
            f"{config.filename}: optim_wrapper.type: mixed precision replaces OptimWrapper, but this is "
            f"{given!s:.60}; leave --amp out"
        )
    config.optim_wrapper.type = "AmpOptimWrapper"


def fit_precision(config: Config, device: torch.device) -> None:
    """If a Runner's config asks for mixed precision, set the type that suits the device, unless it has one.

    On CUDA that is bfloat16 if the card computes in it, else float16 with a loss scale; on the CPU it is bfloat16.
    """
    wrapper = config.get("optim_wrapper") or {}
    if wrapper.get("type") != "AmpOptimWrapper":
        return
    if device.type == "cpu":
        wrapper.type = CpuAmpOptimWrapper.__name__
        for option in ("dtype", "loss_scale", "use_fsdp"):
            wrapper.pop(option, None)
        return
    wrapper.setdefault("dtype", "bfloat16" if _takes_bfloat16() else "float16")
    if wrapper.dtype == "bfloat16":
        wrapper.setdefault("loss_scale", dict(enabled=False))


def _takes_bfloat16() -> bool:
    """Whether the card and mmcv's operators do: those that mmcv compiles take float16 only."""
    return torch.cuda.is_bf16_supported(including_emulation=False) and isinstance(sys.modules.get(MODULE), StandIn)
