"""Average precision against pycocotools called plainly, and against mmdet's own metrics."""

from __future__ import annotations

import contextlib
import copy
import gc
import importlib.util
import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.evaluation import CocoMetric, VOCMetric
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from random_detections import random_candidate, random_images

from opanas_cli.detection.scoring import average_precision
from opanas_cli.detection.scoring.average_precision import STATISTICS, DetectionAP, GroundTruth, score_population
from opanas_cli.detection.scoring.image_results import Detections, ImageTruth
from opanas_cli.errors import InvalidDataError

CLASSES = ("cat", "dog", "cow")
CATEGORY_IDS = (7, 3, 90)
"""Ids with gaps, and not in rising order: labels follow the order of the file."""

Box = list[float]


def random_truth(rng: np.random.Generator, num_images: int = 12, crowds: bool = True) -> dict[str, Any]:
    """A COCO document of boxes of all sizes."""
    annotations: list[dict[str, Any]] = []
    for image_id in range(1, num_images + 1):
        for _ in range(int(rng.integers(0, 6))):
            width, height = np.exp(rng.uniform(2, 5.3, 2))
            x, y = rng.uniform(0, 200, 2)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": int(rng.choice(CATEGORY_IDS)),
                    "bbox": [float(x), float(y), float(width), float(height)],
                    "area": float(width * height),
                    "iscrowd": int(crowds and rng.random() < 0.15),
                }
            )
    return {
        "images": [{"id": index, "width": 512, "height": 512, "file_name": f"{index}.jpg"} for index in range(1, 13)],
        "annotations": annotations,
        "categories": [{"id": key, "name": name} for key, name in zip(CATEGORY_IDS, CLASSES, strict=True)],
    }


def random_finds(truth: dict[str, Any], rng: np.random.Generator) -> dict[int, list[tuple[Box, float, int]]]:
    """Detections of each image, as (x1 y1 x2 y2), score and label: most true boxes shifted, and some of nothing."""
    finds: dict[int, list[tuple[Box, float, int]]] = {image["id"]: [] for image in truth["images"]}
    for annotation in truth["annotations"]:
        x, y, width, height = annotation["bbox"]
        for _ in range(int(rng.integers(0, 3))):
            shift = rng.normal(0, 0.08, 4) * [width, height, width, height]
            box = (np.array([x, y, x + width, y + height]) + shift).tolist()
            label = CATEGORY_IDS.index(annotation["category_id"]) if rng.random() < 0.9 else int(rng.integers(3))
            finds[annotation["image_id"]].append((box, float(rng.random()), label))
    for found in finds.values():
        x, y = rng.uniform(0, 200, 2)
        found.append(([float(x), float(y), float(x + 50), float(y + 30)], float(rng.random() * 0.5), 1))
    return finds


def perfect_finds(truth: dict[str, Any]) -> dict[int, list[tuple[Box, float, int]]]:
    finds: dict[int, list[tuple[Box, float, int]]] = {image["id"]: [] for image in truth["images"]}
    for annotation in truth["annotations"]:
        x, y, width, height = annotation["bbox"]
        label = CATEGORY_IDS.index(annotation["category_id"])
        finds[annotation["image_id"]].append(([x, y, x + width, y + height], 0.9, label))
    return finds


def instances(boxes: list[Box], labels: list[int], scores: list[float] | None = None) -> dict[str, torch.Tensor]:
    found = {
        "bboxes": torch.tensor(boxes, dtype=torch.float64).reshape(-1, 4),
        "labels": torch.tensor(labels, dtype=torch.long),
    }
    return found if scores is None else {**found, "scores": torch.tensor(scores, dtype=torch.float64)}


def samples_of(truth: dict[str, Any], finds: dict[int, list[tuple[Box, float, int]]]) -> list[dict[str, Any]]:
    """What mmdet's detectors hand to a metric."""
    samples = []
    for image in truth["images"]:
        own = [annotation for annotation in truth["annotations"] if annotation["image_id"] == image["id"]]
        parts: list[dict[str, torch.Tensor]] = []
        for crowd in (0, 1):
            kept = [annotation for annotation in own if annotation["iscrowd"] == crowd]
            boxes = [[x, y, x + width, y + height] for x, y, width, height in (entry["bbox"] for entry in kept)]
            parts.append(instances(boxes, [CATEGORY_IDS.index(entry["category_id"]) for entry in kept]))
        found = finds[image["id"]]
        predicted = instances([box for box, _, _ in found], [label for _, _, label in found], [s for _, s, _ in found])
        samples.append(
            {
                "img_id": image["id"],
                "ori_shape": (512, 512),
                "pred_instances": predicted,
                "gt_instances": parts[0],
                "ignored_instances": parts[1],
            }
        )
    return samples


def plain_evaluation(truth: dict[str, Any], finds: dict[int, list[tuple[Box, float, int]]], path: Path) -> list[float]:
    """The first six numbers of pycocotools on files, as its documentation shows."""
    path.write_text(json.dumps(truth))
    rows = [
        {
            "image_id": image_id,
            "category_id": CATEGORY_IDS[label],
            "bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]],
            "score": score,
        }
        for image_id, found in finds.items()
        for box, score, label in found
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(path))
        evaluation = COCOeval(coco, coco.loadRes(rows), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [float(value) for value in evaluation.stats[:6]]


def measured(samples: list[dict[str, Any]], ann_file: Path | None) -> dict[str, float]:
    metric = DetectionAP(ann_file=None if ann_file is None else str(ann_file))
    metric.dataset_meta = {"classes": CLASSES}
    for start in range(0, len(samples), 5):
        metric.process(None, samples[start : start + 5])
    return metric.compute_metrics(metric.results)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("with_file", [True, False])
def test_equals_a_plain_evaluation_unrounded(seed: int, with_file: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    truth = random_truth(rng)
    finds = random_finds(truth, rng)
    expected = plain_evaluation(truth, finds, tmp_path / "truth.json")
    got = measured(samples_of(truth, finds), tmp_path / "truth.json" if with_file else None)
    assert list(got) == list(STATISTICS)
    assert list(got.values()) == pytest.approx(expected, abs=1e-12)
    assert 0.05 < got["AP"] < 0.95
    assert got["AP"] != round(got["AP"], 3)


@pytest.mark.parametrize("seed", [10, 11])
def test_equals_the_metric_of_mmdet(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    truth = random_truth(rng)
    samples = samples_of(truth, random_finds(truth, rng))
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(truth))
    theirs = CocoMetric(ann_file=str(path), metric="bbox")
    theirs.dataset_meta = {"classes": CLASSES}
    with contextlib.redirect_stdout(io.StringIO()):
        theirs.process({}, samples)
        expected = theirs.compute_metrics(theirs.results)
    got = measured(samples, path)
    for ours, other in (("AP", "mAP"), ("AP50", "mAP_50"), ("AP75", "mAP_75"), ("AP_small", "mAP_s")):
        assert got[ours] == pytest.approx(expected[f"bbox_{other}"], abs=5e-4 + 1e-9)


@pytest.mark.parametrize("with_file", [True, False])
def test_perfect_finds_give_one(with_file: bool, tmp_path: Path) -> None:
    truth = random_truth(np.random.default_rng(1), crowds=False)
    (tmp_path / "t.json").write_text(json.dumps(truth))
    got = measured(samples_of(truth, perfect_finds(truth)), tmp_path / "t.json" if with_file else None)
    assert got["AP"] == pytest.approx(1.0)


def test_finds_under_the_label_of_another_category_give_nothing(tmp_path: Path) -> None:
    truth = random_truth(np.random.default_rng(1), crowds=False)
    finds = {
        image: [(box, score, (label + 1) % 3) for box, score, label in found]
        for image, found in perfect_finds(truth).items()
    }
    (tmp_path / "t.json").write_text(json.dumps(truth))
    assert measured(samples_of(truth, finds), tmp_path / "t.json")["AP"] < 0.2


@pytest.mark.parametrize("with_file", [True, False])
def test_no_finds_at_all(with_file: bool, tmp_path: Path) -> None:
    truth = random_truth(np.random.default_rng(2))
    (tmp_path / "t.json").write_text(json.dumps(truth))
    nothing: dict[int, list[Any]] = {image["id"]: [] for image in truth["images"]}
    got = measured(samples_of(truth, nothing), tmp_path / "t.json" if with_file else None)
    assert got["AP"] == 0
    assert got["AP50"] == 0


def test_nothing_to_find_has_no_figure() -> None:
    truth = {**random_truth(np.random.default_rng(2)), "annotations": []}
    finds = {image["id"]: [([0.0, 0.0, 9.0, 9.0], 0.5, 0)] for image in truth["images"]}
    assert measured(samples_of(truth, finds), None) == {}


def test_no_results_at_all() -> None:
    assert measured([], None) == {}


def test_images_of_equal_ids_stay_apart_without_a_file() -> None:
    truth = random_truth(np.random.default_rng(3), crowds=False)
    samples = samples_of(truth, perfect_finds(truth))
    other = random_truth(np.random.default_rng(4), crowds=False)
    samples += samples_of(other, perfect_finds(other))
    assert measured(samples, None)["AP"] == pytest.approx(1.0)


def test_boxes_without_area_are_no_truth_without_a_file() -> None:
    truth = random_truth(np.random.default_rng(5), crowds=False)
    samples = samples_of(truth, perfect_finds(truth))
    kept = samples[0]["gt_instances"]
    samples[0]["gt_instances"] = {
        "bboxes": torch.cat([kept["bboxes"], torch.tensor([[5.0, 5.0, 5.0, 9.0]], dtype=torch.float64)]),
        "labels": torch.cat([kept["labels"], torch.tensor([0])]),
    }
    assert measured(samples, None)["AP"] == pytest.approx(1.0)


def test_a_file_without_iscrowd(tmp_path: Path) -> None:
    truth = random_truth(np.random.default_rng(6), crowds=False)
    samples = samples_of(truth, perfect_finds(truth))
    for annotation in truth["annotations"]:
        del annotation["iscrowd"]
    (tmp_path / "t.json").write_text(json.dumps(truth))
    assert measured(samples, tmp_path / "t.json")["AP"] == pytest.approx(1.0)


def test_only_the_images_that_were_looked_at_count(tmp_path: Path) -> None:
    truth = random_truth(np.random.default_rng(7), crowds=False)
    (tmp_path / "t.json").write_text(json.dumps(truth))
    assert measured(samples_of(truth, perfect_finds(truth))[:4], tmp_path / "t.json")["AP"] == pytest.approx(1.0)


def test_a_class_that_the_file_does_not_have(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text(json.dumps(random_truth(np.random.default_rng(8))))
    metric = DetectionAP(ann_file="t.json", data_root=str(tmp_path))
    metric.dataset_meta = {"classes": ("cat", "unicorn")}
    with pytest.raises(InvalidDataError, match="no category is called 'unicorn'"):
        metric.compute_metrics([])


def by_pycocotools(found: list[Detections], truths: list[ImageTruth], num_classes: int) -> dict[str, float]:
    """The first six numbers of pycocotools, entry by entry."""
    document: dict[str, Any] = {
        "info": {},
        "images": [{"id": index} for index in range(len(truths))],
        "categories": [{"id": label} for label in range(num_classes)],
        "annotations": [],
    }
    for index, truth in enumerate(truths):
        for box, label, ignored, area in zip(truth.boxes, truth.labels, truth.ignored, truth.areas, strict=True):
            entry = {"id": len(document["annotations"]) + 1, "image_id": index, "category_id": int(label)}
            entry.update(bbox=[float(side) for side in box], area=float(area), iscrowd=int(ignored))
            document["annotations"].append(entry)
    rows = [
        {
            "image_id": index,
            "category_id": int(label),
            "bbox": [float(x1), float(y1), float(x2) - float(x1), float(y2) - float(y1)],
            "score": float(score),
        }
        for index, own in enumerate(found)
        for (x1, y1, x2, y2), score, label in zip(own.boxes, own.scores, own.labels, strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = document
        coco.createIndex()
        detections = coco.loadRes(rows) if rows else copy.deepcopy(coco)
        if not rows:
            detections.dataset["annotations"] = []
            detections.createIndex()
        evaluation = COCOeval(coco, detections, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return {name: float(value) for name, value in zip(STATISTICS, evaluation.stats, strict=False) if value >= 0}


def test_the_fast_library_is_in_use() -> None:
    assert average_precision.COCOeval.__module__.startswith("faster_coco_eval")


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    num_images=st.integers(1, 6),
    num_classes=st.integers(1, 4),
    num_candidates=st.integers(1, 3),
)
def test_both_libraries_say_the_same_of_every_candidate(
    seed: int, num_images: int, num_classes: int, num_candidates: int
) -> None:
    rng = np.random.default_rng(seed)
    images = random_images(rng, num_images, num_classes)
    meta = {"classes": list(range(num_classes))}
    population = [random_candidate(rng, images, num_classes) for _ in range(num_candidates)]
    fast = score_population(population, GroundTruth(images, meta))
    assert len(fast) == num_candidates
    for candidate, scores in zip(population, fast, strict=True):
        expected = by_pycocotools(candidate, images, num_classes)
        assert scores == pytest.approx(expected, abs=1e-9)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(average_precision, "COCO", COCO)
        patch.setattr(average_precision, "COCOeval", COCOeval)
        slow = score_population(population, GroundTruth(images, meta))
    for one, other in zip(fast, slow, strict=True):
        assert one == pytest.approx(other, abs=1e-9)


def test_candidates_are_scored_alike_alone_and_in_company() -> None:
    rng = np.random.default_rng(5)
    images = random_images(rng, 8, 3)
    truth = GroundTruth(images, {"classes": "abc"})
    population = [random_candidate(rng, images, 3) for _ in range(4)]
    together = score_population(population, truth, voc=True)
    assert together == [score_population([candidate], truth, voc=True)[0] for candidate in population]
    assert together == score_population(population[::-1], truth, voc=True)[::-1]
    assert len({scores["AP"] for scores in together}) == 4
    assert len({scores["VOC_AP50"] for scores in together}) == 4
    assert gc.isenabled()


def test_without_the_fast_library_pycocotools_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faster_coco_eval", None)
    spec = importlib.util.spec_from_file_location("without_the_fast_library", average_precision.__file__)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.COCOeval is COCOeval


@pytest.mark.parametrize(("kind", "mode"), [("VOC2007", "11points"), ("VOC2012", "area"), (None, "area")])
def test_voc_data_is_also_measured_by_vocs_rules(kind: str | None, mode: str) -> None:
    rng = np.random.default_rng(3)
    truth = random_truth(rng)
    samples = samples_of(truth, random_finds(truth, rng))
    ours, theirs = DetectionAP(), VOCMetric(eval_mode=mode)
    for metric in (ours, theirs):
        metric.dataset_meta = {"classes": CLASSES, "dataset_type": kind}
        metric.process({}, copy.deepcopy(samples))
    got = ours.compute_metrics(ours.results)
    assert list(got) == [*STATISTICS, "VOC_AP50"]
    assert got["VOC_AP50"] == pytest.approx(theirs.compute_metrics(theirs.results)["mAP"], abs=1e-6)
    assert got["VOC_AP50"] != pytest.approx(got["AP50"], abs=1e-3)
