"""torchvision's compiled kernels, the precision they compute in, and the error for operators that they do not give."""

from __future__ import annotations

import torch
from torch import Tensor

from opanas_cli.errors import MissingDependencyError

try:
    import torchvision  # noqa: F401  (registers the kernels)
except (ImportError, OSError, RuntimeError) as error:
    raise MissingDependencyError(
        f"torchvision's operators do not load with torch {torch.__version__} ({error}): install the two together, "
        "`pip install --force-reinstall torch torchvision`"
    ) from error

COMPILED_MMCV = "pip install --force-reinstall --no-deps --no-cache-dir --no-build-isolation onedl-mmcv"
"""Builds mmcv against the torch that is installed, so that its own operators are compiled along."""

kernels = torch.ops.torchvision
"""Their namespace. Unlike the functions of `torchvision.ops`, it gives forward and backward passes apart."""


class MissingOperatorError(MissingDependencyError, NotImplementedError):
    """A detector calls an operator of mmcv that needs mmcv's compiled code."""

    def __init__(self, operator: str) -> None:
        super().__init__(
            f"mmcv's operator '{operator}' needs mmcv's compiled code, which is not installed, and opanas has no "
            f"stand-in for it; with a C++ compiler (and the CUDA toolkit for a GPU) `{COMPILED_MMCV}` builds it"
        )
        self.operator = operator


def widen(*tensors: Tensor) -> list[Tensor]:
    """Convert floating tensors to the type to compute in: the widest of them, and float32 at least.

    The kernels take neither bfloat16, nor float16 on the CPU; all their tensors must be of one type.
    """
    dtype = torch.float32
    for tensor in tensors:
        dtype = torch.promote_types(dtype, tensor.dtype)
    return [tensor.to(dtype) for tensor in tensors]
