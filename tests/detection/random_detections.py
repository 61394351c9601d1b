"""Random ground truths and what candidates found of them, of the kinds that real data have."""

from __future__ import annotations

import numpy as np

from opanas_cli.detection.scoring.image_results import Detections, ImageTruth


def random_images(rng: np.random.Generator, num_images: int, num_classes: int) -> list[ImageTruth]:
    """Images of up to six objects of all sizes, crowds among them; some images hold none."""
    images = []
    for _ in range(num_images):
        count = int(rng.integers(0, 7))
        boxes = np.concatenate([rng.integers(0, 200, (count, 2)), np.exp(rng.uniform(2, 5.3, (count, 2)))], axis=1)
        ignored = rng.random(count) < 0.2
        areas = boxes[:, 2] * boxes[:, 3] * rng.uniform(0.5, 1, count)
        images.append(ImageTruth(boxes, rng.integers(0, num_classes, count), ignored, areas))
    return images


def random_candidate(
    rng: np.random.Generator, images: list[ImageTruth], num_classes: int, ties: bool = True
) -> list[Detections]:
    """Objects found again and again, shifted a little, and things that are not there.

    Up to 300 in an image, none in some. Scores are one of twelve where there are to be ties.
    """
    candidate = []
    for truth in images:
        count = int(rng.choice([0, 5, 40, 300]))
        boxes = np.concatenate([rng.uniform(0, 200, (count, 2)), rng.uniform(5, 90, (count, 2))], axis=1)
        labels = rng.integers(0, num_classes, count)
        if len(truth.labels):
            again = rng.random(count) < 0.7
            chosen = rng.integers(0, len(truth.labels), count)
            shifted = truth.boxes[chosen] * (1 + rng.normal(0, 0.08, (count, 4)))
            boxes, labels = np.where(again[:, None], shifted, boxes), np.where(again, truth.labels[chosen], labels)
        scores = rng.integers(0, 12, count) / 12 if ties else rng.random(count)
        corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
        candidate.append(Detections(corners.astype(np.float32), scores.astype(np.float32), labels))
    return candidate
