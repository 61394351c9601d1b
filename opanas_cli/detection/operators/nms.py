"""Non-maximum suppression."""

from __future__ import annotations

import torch
from torch import Tensor

from opanas_cli.detection.operators.kernels import kernels, widen

LEAST_BOXES = 128
"""Fewer boxes are not worth a call of their own."""


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Indices of the boxes kept, highest score first.

    `boxes` is (N, 4) as x1, y1, x2, y2 and `scores` is (N,). A box is `x2 - x1 + offset` wide: with offset 1 the far
    corner is a pixel that belongs to it, which is the same as a far corner one pixel further.

    The work grows with the square of N. On the CPU, boxes in separate groups, such as those of different classes or
    pyramid levels once mmcv has shifted them, are therefore suppressed group by group, with the same result.
    """
    boxes, scores = widen(boxes, scores)
    if offset:
        boxes = boxes + boxes.new_tensor([0, 0, offset, offset])
    groups = _apart(boxes) if boxes.device.type == "cpu" and len(boxes) >= 2 * LEAST_BOXES else ()
    if len(groups) < 2:
        return kernels.nms(boxes, scores, iou_threshold)
    kept = torch.cat([group[kernels.nms(boxes[group], scores[group], iou_threshold)] for group in groups])
    # The order that one call gives: of equal scores the first box comes first.
    kept = kept.sort().values
    return kept[scores[kept].argsort(descending=True, stable=True)]


def _apart(boxes: Tensor) -> tuple[Tensor, ...]:
    """The indices of the boxes in groups that do not overlap, separated by vertical lines."""
    order = boxes[:, 0].argsort()
    first_sides, far_sides = boxes[order, 0], boxes[order, 2].cummax(0).values
    sizes, start = [], 0
    for cut in ((first_sides[1:] >= far_sides[:-1]).nonzero().flatten() + 1).tolist():
        if min(cut - start, len(order) - cut) >= LEAST_BOXES:
            sizes.append(cut - start)
            start = cut
    # In the order of the boxes: of equal scores the first box suppresses the others.
    return tuple(group.sort().values for group in order.split([*sizes, len(order) - start]))
