"""Average precision by VOC's rules against mmdet's `eval_map`, and by hand."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
from mmdet.evaluation import eval_map
from mmdet.evaluation.functional import mean_ap
from random_detections import random_candidate, random_images

from opanas_cli.detection.scoring.image_results import Detections, ImageTruth
from opanas_cli.detection.scoring.voc_average_precision import voc_average_precision


class NoPool:
    """A pool of no processes."""

    def __init__(self, processes: int) -> None:
        self.processes = processes

    def starmap(self, function: Callable[..., Any], arguments: Iterable[Any]) -> list[Any]:
        return [function(*own) for own in arguments]

    def close(self) -> None:
        pass


def by_mmdet(found: list[Detections], truths: list[ImageTruth], num_classes: int, mode: str) -> float:
    rows = [np.concatenate([own.boxes, own.scores[:, None]], axis=1) for own in found]
    detections = [
        [row[own.labels == label] for label in range(num_classes)] for row, own in zip(rows, found, strict=True)
    ]
    annotations = []
    for truth in truths:
        corners = np.concatenate([truth.boxes[:, :2], truth.boxes[:, :2] + truth.boxes[:, 2:]], axis=1)
        kept, ignored = ~truth.ignored, truth.ignored
        annotations.append(
            {
                "bboxes": corners[kept],
                "labels": truth.labels[kept],
                "bboxes_ignore": corners[ignored],
                "labels_ignore": truth.labels[ignored],
            }
        )
    value, _ = eval_map(detections, annotations, eval_mode=mode, use_legacy_coordinate=True, logger="silent")
    return float(value)


@pytest.mark.parametrize("mode", ["area", "11points"])
def test_equals_mmdets(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """mmdet keeps the average of a class in float32, and ranks equal scores at random."""
    monkeypatch.setattr(mean_ap, "Pool", NoPool)
    values = []
    for seed in range(25):
        rng = np.random.default_rng(seed)
        num_classes = int(rng.integers(1, 5))
        truths = random_images(rng, int(rng.integers(2, 12)), num_classes)
        found = random_candidate(rng, truths, num_classes, ties=False)
        if any((~truth.ignored).any() for truth in truths):
            values.append(voc_average_precision(found, truths, num_classes, mode == "11points"))
            assert values[-1] == pytest.approx(by_mmdet(found, truths, num_classes, mode), abs=1e-6)
    assert len({round(value, 3) for value in values}) > 15


def boxes(*rows: list[float]) -> np.ndarray:
    return np.array(rows, dtype=np.float32).reshape(-1, 4)


def found_in(corners: np.ndarray, scores: list[float], labels: list[int]) -> Detections:
    return Detections(corners, np.array(scores, dtype=np.float32), np.array(labels, dtype=int))


def truth_of(corners: np.ndarray, labels: list[int], ignored: list[bool]) -> ImageTruth:
    sides = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1).astype(np.float64)
    return ImageTruth(sides, np.array(labels, dtype=int), np.array(ignored, dtype=bool), sides[:, 2] * sides[:, 3])


ONE, TWO, THREE, NOWHERE = [0, 0, 9, 9], [50, 0, 59, 9], [0, 50, 9, 59], [80, 80, 99, 99]


def test_by_hand() -> None:
    """Three objects of a class: right, wrong, right, right at falling scores; a second find of one object is wrong."""
    truths = [truth_of(boxes(ONE, TWO), [0, 0], [False, False]), truth_of(boxes(THREE), [0], [False])]
    found = [
        found_in(boxes(ONE, NOWHERE, TWO), [0.9, 0.8, 0.6], [0, 0, 0]),
        found_in(boxes(THREE, THREE), [0.7, 0.5], [0, 0]),
    ]
    # Precision 1/1, 1/2, 2/3, 3/4, 3/5 at recall 1/3, 1/3, 2/3, 3/3, 3/3: at best 1, then 3/4 twice.
    assert voc_average_precision(found, truths, 1) == pytest.approx((1 + 0.75 + 0.75) / 3, abs=1e-15)
    # Recalls of 0, 0.1, 0.2 and 0.3 are reached at precision 1, the other seven at 3/4.
    assert voc_average_precision(found, truths, 1, eleven_points=True) == pytest.approx((4 + 7 * 0.75) / 11, abs=1e-15)


def test_difficult_objects_count_neither_way() -> None:
    truths = [truth_of(boxes(ONE, TWO), [0, 0], [False, True])]
    with_it = [found_in(boxes(TWO, TWO, ONE), [0.9, 0.8, 0.7], [0, 0, 0])]
    assert voc_average_precision(with_it, truths, 1) == 1.0
    assert voc_average_precision([found_in(boxes(ONE), [0.7], [0])], truths, 1) == 1.0
    assert math.isnan(voc_average_precision(with_it, [truth_of(boxes(ONE), [0], [True])], 1))


def test_classes_are_apart_and_those_without_objects_do_not_count() -> None:
    truths = [truth_of(boxes(ONE, TWO), [0, 2], [False, False])]
    found = [found_in(boxes(ONE, ONE, NOWHERE), [0.5, 0.9, 0.9], [0, 2, 1])]
    assert voc_average_precision(found, truths, 3) == pytest.approx(0.5)


def test_both_ends_belong_to_a_box() -> None:
    """Ten pixels wide against five of them overlap by exactly one half."""
    truths = [truth_of(boxes(ONE), [0], [False])]
    assert voc_average_precision([found_in(boxes([0, 0, 4, 9]), [0.5], [0])], truths, 1) == 1.0
    assert voc_average_precision([found_in(boxes([0, 0, 4, 8]), [0.5], [0])], truths, 1) == 0.0


def test_nothing_found_and_nothing_to_find() -> None:
    nothing = found_in(boxes(), [], [])
    assert voc_average_precision([nothing], [truth_of(boxes(ONE), [0], [False])], 1) == 0.0
    assert math.isnan(voc_average_precision([found_in(boxes(ONE), [0.9], [0])], [truth_of(boxes(), [], [])], 1))
    assert math.isnan(voc_average_precision([], [], 2))
