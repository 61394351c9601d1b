"""Average precision by the rules of PASCAL VOC: one overlap, difficult objects ignored, sides counted in whole pixels.

mmdet's `eval_map` computes the same in a pool of processes, too slow for the hundreds of candidates of a search.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from opanas_cli.detection.scoring.image_results import Detections, ImageTruth

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Integers = NDArray[np.int64]


def voc_average_precision(
    found: Sequence[Detections],
    truths: Sequence[ImageTruth],
    num_classes: int,
    eleven_points: bool = False,
    overlap: float = 0.5,
) -> float:
    """The mean over the classes of the average precision at one overlap (Everingham et al., IJCV 2010, section 4.2).

    A detection is matched to the object of its class that it overlaps most. It is left out if that object is ignored,
    right if it is the first by score to be matched to it, and wrong otherwise. The result is a fraction in [0, 1]; NaN
    if there are no objects.

    Args:
        found, truths: of the same images in the same order.
        eleven_points: the mean of the precision at eleven recalls, as until VOC 2007, instead of the area under the
            curve, as since VOC 2010.
    """
    matched, scores, labels = _matches(found, truths, overlap)
    ignored = _joined([truth.ignored for truth in truths], bool)
    truth_labels = _joined([truth.labels for truth in truths], int)
    precisions = []
    for label in range(num_classes):
        num_objects = int(np.sum((truth_labels == label) & ~ignored))
        if num_objects:
            own = labels == label
            right = _is_right(matched[own], scores[own], ignored)
            precisions.append(_average(right, num_objects, eleven_points))
    return float(np.mean(precisions)) if precisions else float("nan")


def _matches(
    found: Sequence[Detections], truths: Sequence[ImageTruth], overlap: float
) -> tuple[Integers, Floats, Integers]:
    """The object that each detection is matched to, counted over all images, -1 for none; scores and labels."""
    matched, first = [], 0
    for detections, truth in zip(found, truths, strict=True):
        best = np.full(len(detections.labels), -1)
        if len(truth.labels) and len(best):
            overlaps = _overlaps(detections.boxes, truth.boxes)
            overlaps[detections.labels[:, None] != truth.labels[None, :]] = -1
            nearest = overlaps.argmax(axis=1)
            best = np.where(overlaps[np.arange(len(best)), nearest] >= overlap, first + nearest, -1)
        matched.append(best)
        first += len(truth.labels)
    scores = _joined([detections.scores for detections in found], float)
    return _joined(matched, int), scores, _joined([detections.labels for detections in found], int)


def _overlaps(corners: NDArray[np.float64], boxes: Floats) -> Floats:
    """Intersection over union (n, m) of x1, y1, x2, y2 with x, y, width, height; both ends belong to a box."""
    ours = corners.astype(np.float64)[:, None, :]
    left_top, right_bottom = boxes[None, :, :2], boxes[None, :, :2] + boxes[None, :, 2:]
    shared = np.minimum(ours[..., 2:], right_bottom) - np.maximum(ours[..., :2], left_top) + 1
    intersection = shared.clip(min=0).prod(axis=-1)
    union = (ours[..., 2:] - ours[..., :2] + 1).prod(axis=-1) + (boxes[:, 2:] + 1).prod(axis=-1) - intersection
    return intersection / union


def _is_right(matched: Integers, scores: Floats, ignored: Flags) -> Flags:
    """Whether each detection of a class is right, by falling score, without those of ignored objects."""
    order = np.argsort(-scores, kind="stable")
    matched = matched[order]
    matched = matched[(matched < 0) | ~ignored[matched]]
    right = np.zeros(len(matched), dtype=bool)
    objects, firsts = np.unique(matched, return_index=True)
    right[firsts[objects >= 0]] = True
    return right


def _average(right: Flags, num_objects: int, eleven_points: bool) -> float:
    hits = np.cumsum(right)
    recall, precision = hits / num_objects, hits / np.arange(1, len(right) + 1)
    if eleven_points:
        # Three times 0.1 is a little more than a recall of 3 in 10, here as in the development kit.
        reached = [precision[recall >= least] for least in np.arange(0, 1 + 1e-3, 0.1)]
        return float(np.mean([values.max() if len(values) else 0.0 for values in reached]))
    # Each precision counts as the best at the same or a higher recall.
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * best))


def _joined(parts: Sequence[NDArray[np.generic]], kind: type) -> NDArray[np.generic]:
    return np.concatenate([np.zeros(0, dtype=kind), *parts]).astype(kind)
