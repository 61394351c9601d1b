"""The gradient of average RoI align as matrix products.

A bin averages bilinear samples on a grid, so that it weighs rows and columns apart: with the weights Y (bins × rows)
and X (bins × columns) of a region, its output is Y F Xᵀ, and the gradient of F is Yᵀ G X. Compiled kernels add up the
four corners of every sample one by one, and on a CPU one thread does it.
"""

from __future__ import annotations

import torch
from torch import Tensor

LARGEST_MAP = 2048
"""Pixels of a feature map from where on most weights are zero and the compiled kernels are faster."""


def separable_backward(
    gradient: Tensor,
    boxes: Tensor,
    shape: tuple[int, int, int, int],
    spatial_scale: float,
    sampling_ratio: int,
    aligned: bool,
) -> Tensor:
    """The gradient of features of `shape` (B, C, H, W) from that of the output (K, C, height, width).

    Args:
        boxes: (K, 5) as image, x1, y1, x2, y2.
    """
    corners = boxes[:, 1:] * spatial_scale - 0.5 * aligned
    extents = corners[:, 2:] - corners[:, :2]
    if not aligned:
        extents = extents.clamp(min=1)
    (height, width), (num_rows, num_columns) = gradient.shape[2:], shape[2:]
    rows = _bin_weights(corners[:, 1], extents[:, 1], height, num_rows, sampling_ratio)
    columns = _bin_weights(corners[:, 0], extents[:, 0], width, num_columns, sampling_ratio)
    total = gradient.new_zeros(shape)
    images = boxes[:, 0].long()
    for image in images.unique().tolist():
        members = (images == image).nonzero().flatten()
        spread = torch.matmul(gradient[members], columns[members][:, None])  # (n, C, height, W)
        spread = spread.transpose(1, 2).flatten(2).flatten(0, 1)  # (n·height, C·W)
        summed = rows[members].flatten(0, 1).T @ spread  # (H, C·W)
        total[image] = summed.unflatten(1, (-1, num_columns)).transpose(0, 1)
    return total


def _bin_weights(starts: Tensor, extents: Tensor, num_bins: int, side: int, sampling_ratio: int) -> Tensor:
    """How much each pixel along a side counts in each bin, (K, num_bins, side)."""
    sizes = extents / num_bins
    counts = torch.full_like(sizes, sampling_ratio) if sampling_ratio > 0 else sizes.ceil().clamp(min=0)
    most = int(counts.max()) if len(counts) else 0
    samples = torch.arange(most, dtype=sizes.dtype, device=sizes.device)
    bins = torch.arange(num_bins, dtype=sizes.dtype, device=sizes.device)
    divisors = counts.clamp(min=1)[:, None]
    places = bins[:, None] + ((samples + 0.5) / divisors)[:, None]
    positions = starts[:, None, None] + sizes[:, None, None] * places  # (K, num_bins, samples)
    # A sample more than a pixel outside counts nothing; one nearer takes the value of the edge.
    used = (samples < counts[:, None])[:, None] & (positions >= -1) & (positions <= side)
    pixels = torch.arange(side, dtype=sizes.dtype, device=sizes.device)
    near = (1 - (positions.clamp(0, side - 1)[..., None] - pixels).abs()).clamp(min=0)
    return torch.einsum("kps,kpsx->kpx", used / divisors[:, None], near)
