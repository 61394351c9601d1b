"""RoI align, forward and backward, with average or max pooling inside a bin.

He et al., Mask R-CNN, ICCV 2017, section 3.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from opanas_cli.detection.operators.kernels import kernels, widen

MAX = 0
"""mmcv's `pool_mode` of max pooling; 1 is average pooling."""


def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Pool `input` (B, C, H, W) inside `rois` (K, 5: image, x1, y1, x2, y2) into `output` (K, C, height, width).

    With max pooling, `argmax_y` and `argmax_x`, shaped as `output`, receive the row and column of the winner among the
    bin's samples (compiled mmcv: its place in the image; they are read by the backward pass alone).
    """
    features, boxes = widen(input, rois)
    if pool_mode != MAX:
        size = (aligned_height, aligned_width)
        output.copy_(kernels.roi_align(features, boxes, spatial_scale, *size, sampling_ratio, aligned))
        return
    for rows, columns, members in _sampling(output, boxes, spatial_scale, sampling_ratio, aligned):
        # one sample in each of rows x columns smaller bins: the very samples that the bin's average is taken over
        size = (aligned_height * rows, aligned_width * columns)
        samples = kernels.roi_align(features, boxes[members], spatial_scale, *size, 1, aligned)
        bins = samples.unflatten(3, (-1, columns)).unflatten(2, (-1, rows)).transpose(3, 4).flatten(4)
        values, winners = bins.max(dim=4)
        output[members] = values.to(output)
        argmax_y[members] = (winners // columns).to(argmax_y)
        argmax_x[members] = (winners % columns).to(argmax_x)


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Add up `grad_output` (K, C, height, width) where it came from, in `grad_input` (B, C, H, W)."""
    gradient, boxes = widen(grad_output, rois)
    shape = grad_input.shape
    if pool_mode != MAX:
        size = (aligned_height, aligned_width)
        grad_input.copy_(
            kernels._roi_align_backward(gradient, boxes, spatial_scale, *size, *shape, sampling_ratio, aligned)
        )
        return
    total = gradient.new_zeros(shape)
    for rows, columns, members in _sampling(grad_output, boxes, spatial_scale, sampling_ratio, aligned):
        winners = (argmax_y[members] * columns + argmax_x[members]).long()
        bins = gradient.new_zeros(*winners.shape, rows * columns)
        bins.scatter_(4, winners[..., None], gradient[members][..., None])
        samples = bins.unflatten(4, (rows, columns)).transpose(3, 4).flatten(4, 5).flatten(2, 3)
        size = (aligned_height * rows, aligned_width * columns)
        total += kernels._roi_align_backward(samples, boxes[members], spatial_scale, *size, *shape, 1, aligned)
    grad_input.copy_(total)


def _sampling(
    output: Tensor, boxes: Tensor, spatial_scale: float, sampling_ratio: int, aligned: bool
) -> Iterator[tuple[int, int, Tensor]]:
    """Rows and columns of samples in a bin, with the indices of the regions that have so many.

    There are `sampling_ratio` of each, or one for each started pixel if that is 0. A region without area has one
    sample (compiled mmcv: none, and then a maximum of -10000).
    """
    grids = torch.full((len(boxes), 2), sampling_ratio, device=boxes.device)
    if sampling_ratio <= 0:
        corners = boxes[:, 1:] * spatial_scale - 0.5 * aligned  # in the order in which the kernel rounds
        extents = corners[:, [3, 2]] - corners[:, [1, 0]]
        if not aligned:
            extents = extents.clamp(min=1)
        grids = (extents / extents.new_tensor(output.shape[2:])).ceil().clamp(min=1).long()
    for grid in grids.unique(dim=0):
        rows, columns = grid.tolist()
        yield rows, columns, (grids == grid).all(dim=1).nonzero().flatten()
