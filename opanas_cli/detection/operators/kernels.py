"""torchvision's compiled kernels, and the precision they compute in."""

from __future__ import annotations

import torch
from torch import Tensor

from opanas_cli.errors import MissingDependencyError

try:
    import torchvision  # noqa: F401  (registers the kernels)
except (ImportError, OSError, RuntimeError) as error:
    raise MissingDependencyError(
        f"torchvision's operators do not load beside torch {torch.__version__} ({error}): install the two together, "
        "`pip install --force-reinstall torch torchvision`"
    ) from error

kernels = torch.ops.torchvision
"""Their namespace. Unlike the functions of `torchvision.ops`, it gives forward and backward passes apart."""


def widen(*tensors: Tensor) -> list[Tensor]:
    """Bring floating tensors to the one type to compute in: the widest of them, and float32 at least.

    The kernels take no bfloat16, and no float16 on the CPU; they want all their tensors of one type.
    """
    dtype = torch.float32
    for tensor in tensors:
        dtype = torch.promote_types(dtype, tensor.dtype)
    return [tensor.to(dtype) for tensor in tensors]
