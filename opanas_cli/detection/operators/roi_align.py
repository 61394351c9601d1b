"""RoI align, forward and backward, with average or max pooling inside a bin.

He et al., Mask R-CNN, ICCV 2017, section 3.
"""

from __future__ import annotations

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
    """Pool `input` (B, C, H, W) inside `rois` (K, 5: image, x1, y1, x2, y2) into `output` (K, C, height, width)."""
    if pool_mode == MAX:
        raise NotImplementedError
    features, boxes = widen(input, rois)
    output.copy_(
        kernels.roi_align(features, boxes, spatial_scale, aligned_height, aligned_width, sampling_ratio, aligned)
    )


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
    """Send `grad_output` (K, C, height, width) back into `grad_input` (B, C, H, W)."""
    if pool_mode == MAX:
        raise NotImplementedError
    gradient, boxes = widen(grad_output, rois)
    grad_input.copy_(
        kernels._roi_align_backward(
            gradient, boxes, spatial_scale, aligned_height, aligned_width, *grad_input.shape, sampling_ratio, aligned
        )
    )
