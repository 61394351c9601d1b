"""torchvision's compiled kernels, and the precision they compute in."""

from __future__ import annotations

import torch
from torch import Tensor

from opanas_cli.errors import MissingDependencyError

try:
    import torchvision  # noqa: F401  (registers the kernels)

    kernels = torch.ops.torchvision
    assert kernels.nms and kernels.roi_align and kernels.deform_conv2d
except (ImportError, OSError, RuntimeError, AttributeError) as error:
    raise MissingDependencyError(
        f"torchvision's operators do not load beside torch {torch.__version__} ({error}): install the two together, "
        "`pip install --force-reinstall torch torchvision`"
    ) from error


def widen(*tensors: Tensor) -> list[Tensor]:
    """Bring floating tensors to the one type to compute in: the widest of them, and float32 at least.

    The kernels take no bfloat16, and no float16 on the CPU; they want all their tensors of one type.
    """
    dtype = torch.float32
    for tensor in tensors:
        dtype = torch.promote_types(dtype, tensor.dtype)
    return [tensor.to(dtype) for tensor in tensors]
