"""Non-maximum suppression."""

from __future__ import annotations

from torch import Tensor

from opanas_cli.detection.operators.kernels import kernels, widen


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Indices of the boxes kept, highest score first.

    `boxes` is (N, 4) as x1, y1, x2, y2 and `scores` is (N,). A box is `x2 - x1 + offset` wide: with offset 1 the far
    corner is a pixel that belongs to it, which is the same as a far corner one pixel further.
    """
    boxes, scores = widen(boxes, scores)
    if offset:
        boxes = boxes + boxes.new_tensor([0, 0, offset, offset])
    kept: Tensor = kernels.nms(boxes, scores, iou_threshold)
    return kept
