"""Resizing one pyramid level to the size of another: U and D of Eq. 1 to 6."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def size_of(level: Tensor) -> tuple[int, int]:
    """Height and width of a level of shape (B, C, H, W)."""
    return level.shape[-2], level.shape[-1]


def upsample(level: Tensor, size: tuple[int, int]) -> Tensor:
    """Nearest interpolation of (B, C, H, W) to `size`; the level itself where it has that size already.

    CUDA's autocast interpolates in float32; as values are only copied, they lose nothing by going back. While a network
    is exported with open sizes, every level is interpolated: whether the sizes are equal is not known yet.
    """
    is_known = all(isinstance(side, int) for side in (*size_of(level), *size))
    if is_known and size_of(level) == size:
        return level
    return F.interpolate(level, size=size, mode="nearest").to(level.dtype)


def downsample(level: Tensor, size: tuple[int, int]) -> Tensor:
    """2×2 max pooling of stride 2, then nearest interpolation where that does not give `size`, as for odd sizes.

    A side of one pixel stays one pixel: a window of two does not fit it.
    """
    window = [min(2, side) for side in size_of(level)]
    return upsample(F.max_pool2d(level, window, stride=2), size)
