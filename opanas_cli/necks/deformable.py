"""Deformable convolution without an operator of its own: bilinear sampling, then a matrix product."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def deform_conv2d(
    input: Tensor,
    offset: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int = 1,
    padding: int = 0,
) -> Tensor:
    """Convolution whose every tap is moved by an offset of its own (Dai et al., ICCV 2017).

    All taps are read by one bilinear sampling, stacked along the height of one grid, and weighted by one 1×1
    convolution. The grid is computed, and the input is sampled, in float32 at least: positions in half precision would
    be off by whole pixels.

    Args:
        input: (B, C, H, W).
        offset: (B, 2·Kh·Kw, H', W') in pixels, pairs (y, x), taps row by row; H' and W' are those of the output.
        weight: (O, C, Kh, Kw).
        bias: (O,).
        stride, padding: as for a convolution, alike in both directions; outside of the input is zero.

    Returns:
        (B, O, H', W').

    Raises:
        ValueError: the shape of the offset does not fit the input and the kernel.
    """
    taps = _taps(input, offset, (weight.shape[2], weight.shape[3]), stride, padding)
    # (B, C, K·H', W') is (B, C·K, H', W') in memory, so one 1×1 convolution weights taps and channels together.
    pointwise = weight.reshape(len(weight), -1, 1, 1)
    columns = taps.reshape(len(input), pointwise.shape[1], *offset.shape[2:])
    return F.conv2d(columns.to(weight.dtype), pointwise, bias)


def _taps(input: Tensor, offset: Tensor, kernel: tuple[int, int], stride: int, padding: int) -> Tensor:
    """What each tap reads, (B, C, K·H', W'), K·H' being the rows of all taps one after the other."""
    batch, channels, *sides = input.shape
    outputs = [(side + 2 * padding - taps) // stride + 1 for side, taps in zip(sides, kernel, strict=True)]
    expected = (batch, 2 * kernel[0] * kernel[1], *outputs)
    if tuple(offset.shape) != expected:
        raise ValueError(f"the offset must have shape {expected}, but got {tuple(offset.shape)}")
    dtype = torch.promote_types(offset.dtype, torch.float32)
    rows = kernel[0] * kernel[1] * outputs[0]
    if input.device.type == "meta":  # There torch takes hundreds of operations to learn the shape.
        return input.new_empty(batch, channels, rows, outputs[1], dtype=dtype)
    shifts = offset.to(dtype).reshape(batch, *kernel, 2, *outputs)
    (row_scale, row_base), (column_scale, column_base) = (
        _scale_and_shift(side, taps, count, stride, padding, shifts)
        for side, taps, count in zip(sides, kernel, outputs, strict=True)
    )
    y = torch.add(row_base[:, None, :, None], shifts[:, :, :, 0], alpha=row_scale)
    x = torch.add(column_base[None, :, None, :], shifts[:, :, :, 1], alpha=column_scale)
    # In the (x, y) coordinates of `grid_sample`.
    grid = torch.stack((x, y), dim=-1).reshape(batch, rows, outputs[1], 2)
    return F.grid_sample(input.to(dtype), grid, padding_mode="zeros", align_corners=False)


def _scale_and_shift(side: int, taps: int, count: int, stride: int, padding: int, like: Tensor) -> tuple[float, Tensor]:
    """Along one side: what one pixel is in grid coordinates, and where each (tap, output) reads without an offset."""
    starts = torch.arange(count, dtype=like.dtype, device=like.device) * stride - padding
    steps = torch.arange(taps, dtype=like.dtype, device=like.device)
    return 2 / side, (2 * (steps[:, None] + starts) + 1) / side - 1


class DeformableConv2d(nn.Module):
    """3×3 deformable convolution that computes its offsets from its own input.

    Offsets come from a 3×3 convolution of the same stride that starts at zero, so at initialisation this is the plain
    convolution of the same weights. (B, C, H, W) becomes (B, O, ⌈H/stride⌉, ⌈W/stride⌉).
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1, bias: bool = True) -> None:
        super().__init__()
        self.stride = stride
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.conv_offset = nn.Conv2d(in_channels, 2 * 3 * 3, 3, stride=stride, padding=1)
        nn.init.xavier_uniform_(self.weight)
        nn.init.zeros_(self.conv_offset.weight)
        nn.init.zeros_(self.conv_offset.bias)

    def forward(self, input: Tensor) -> Tensor:
        return deform_conv2d(input, self.conv_offset(input), self.weight, self.bias, self.stride, padding=1)

    def extra_repr(self) -> str:
        out_channels, in_channels = self.weight.shape[:2]
        return f"{in_channels}, {out_channels}, stride={self.stride}, bias={self.bias is not None}"
