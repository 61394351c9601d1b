"""Soft non-maximum suppression: overlapping boxes lose score instead of being dropped.

Bodla et al., Soft-NMS, ICCV 2017, equations 1 to 3.
"""

from __future__ import annotations

import torch
from torch import Tensor

from opanas_cli.detection.operators.kernels import widen

_, LINEAR, GAUSSIAN = range(3)
"""mmcv's numbers of the methods."""


def softnms(
    boxes: Tensor,
    scores: Tensor,
    dets: Tensor,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: int,
    offset: int,
) -> Tensor:
    """Indices of the boxes kept, in the order in which they were picked.

    `boxes` is (N, 4), `scores` (N,); the first rows of `dets` (N, 5) receive the kept boxes with their decayed scores.
    A box whose score falls below `min_score` is dropped, but the best one never is. As in mmcv, a box is
    `x2 - x1 + offset` wide. Boxes without area overlap nothing.
    """
    corners, decayed = widen(boxes, scores)
    decayed = decayed.clone()
    left = torch.arange(len(boxes), device=boxes.device)
    picked = []
    while len(left):
        position = int(decayed[left].argmax())
        best = left[position]
        picked.append(best)
        left = torch.cat([left[:position], left[position + 1 :]])
        overlaps = _iou(corners[best], corners[left], offset)
        decayed[left] *= _decay(overlaps, iou_threshold, sigma, method)
        left = left[~(decayed[left] < min_score)]
    kept = torch.stack(picked) if picked else left
    dets[: len(kept)].copy_(torch.cat([corners[kept], decayed[kept, None]], dim=1))
    return kept


def _iou(box: Tensor, others: Tensor, offset: int) -> Tensor:
    overlap = torch.minimum(box[2:], others[:, 2:]) - torch.maximum(box[:2], others[:, :2]) + offset
    intersection = overlap.clamp(min=0).prod(dim=1)
    area = (box[2:] - box[:2] + offset).prod()
    union = area + (others[:, 2:] - others[:, :2] + offset).prod(dim=1) - intersection
    return torch.where(union > 0, intersection / union, torch.zeros_like(union))


def _decay(overlaps: Tensor, iou_threshold: float, sigma: float, method: int) -> Tensor:
    if method == GAUSSIAN:
        return torch.exp(-overlaps.square() / sigma)
    remainder = 1 - overlaps if method == LINEAR else torch.zeros_like(overlaps)
    return torch.where(overlaps >= iou_threshold, remainder, torch.ones_like(overlaps))
