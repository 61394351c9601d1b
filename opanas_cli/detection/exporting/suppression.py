"""The choice of the best boxes in operations that `torch.export` can trace, and in shapes that no image changes.

A score of -1 marks a place that is empty because there are too few boxes.
"""

from __future__ import annotations

import torch
import torchvision  # noqa: F401  Registers `nms`.
from torch import Tensor

EMPTY = -1.0

# Values are joined rather than padded: ONNX's Pad cannot be converted to operator sets before 18.


def best(scores: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """The highest `most` of `scores` (N,), highest first, and their places, 0 of empty ones.

    Of equal ones those that come first: torch promises that only if asked, which it cannot write as ONNX, but does so.
    """
    ranked, order = torch.cat([scores, scores.new_full((most,), EMPTY)]).sort(descending=True)
    return ranked[:most], torch.where(ranked > EMPTY, order, 0)[:most]


def above(scores: Tensor, least: float) -> tuple[Tensor, Tensor]:
    """Those of `scores` (N,) that are greater than `least`, and their places; at the end an empty one."""
    places = (scores > least).nonzero()[:, 0]
    return torch.cat([scores[places], scores.new_full((1,), EMPTY)]), torch.cat([places, places.new_zeros(1)])


def suppressed(boxes: Tensor, scores: Tensor, groups: Tensor, overlap: float, most: int) -> tuple[Tensor, Tensor]:
    """The scores and the places of the best boxes (N, 4) that overlap no better one of the same group (N,) too much.

    As mmcv's `batched_nms`, which shifts each group of boxes to where no other one is.
    """
    apart = boxes + (groups * (boxes.max() + 1))[:, None]
    kept = torch.ops.torchvision.nms(apart, scores, overlap)
    ranked, order = best(scores[kept], most)
    return ranked, kept[order]


def detections(
    boxes: Tensor, scores: Tensor, labels: Tensor, overlap: float, most: int
) -> tuple[Tensor, Tensor, Tensor]:
    """What is found in an image: boxes (1, most, 4), scores (1, most) and classes (1, most), best first.

    Empty places have the score 0 and the class -1.
    """
    ranked, places = suppressed(boxes, scores, labels, overlap, most)
    is_found = ranked > EMPTY
    classes = torch.where(is_found, labels[places], -1)
    return (boxes[places] * is_found[:, None])[None], (ranked * is_found)[None], classes[None]
