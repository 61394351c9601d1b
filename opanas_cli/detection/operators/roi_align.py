"""RoI align, forward and backward, with average pooling inside a bin.

He et al., Mask R-CNN, ICCV 2017, section 3.
"""

from __future__ import annotations

from torch import Tensor

from opanas_cli.detection.operators.kernels import MissingOperatorError, kernels, widen

MAX = 0
"""mmcv's `pool_mode` of max pooling, which no config of mmdet uses; 1 is average pooling."""


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

    `argmax_y` and `argmax_x` belong to max pooling, for which MissingOperatorError is raised.
    """
    if pool_mode == MAX:
        raise MissingOperatorError("roi_align_forward, pool_mode max")
    features, boxes = widen(input, rois)
    size = (aligned_height, aligned_width)
    output.copy_(kernels.roi_align(features, boxes, spatial_scale, *size, sampling_ratio, aligned))


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
    size = (aligned_height, aligned_width)
    grad_input.copy_(
        kernels._roi_align_backward(gradient, boxes, spatial_scale, *size, *grad_input.shape, sampling_ratio, aligned)
    )
