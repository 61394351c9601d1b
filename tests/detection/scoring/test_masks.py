"""Masks as run-length codes, and their average precision by COCO's own tool."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmdet.structures.mask import BitmapMasks
from pycocotools import mask as coco_masks
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from opanas_cli.detection.evaluating.pass_result import PassResult
from opanas_cli.detection.scoring.average_precision import DetectionAP
from opanas_cli.detection.scoring.image_results import Detections, ImageTruth
from opanas_cli.detection.scoring.masks import code_of, encoded_masks, masks_of_file

CLASSES = ("disk", "square")
HEIGHT, WIDTH = 40, 50
OCTAGON = [10.0, 5.0, 30.0, 5.0, 40.0, 15.0, 30.0, 30.0, 10.0, 30.0, 5.0, 15.0]


def pixels_of(shape: list[float]) -> np.ndarray:
    return coco_masks.decode(coco_masks.frPyObjects([shape], HEIGHT, WIDTH))[..., 0]


def moved(shape: list[float], by: float) -> list[float]:
    return [value + by for value in shape]


def code_with_text(shape: list[float]) -> dict[str, Any]:
    code = coco_masks.encode(np.asfortranarray(pixels_of(shape)))
    return {"size": code["size"], "counts": code["counts"].decode()}


def test_codes_are_cocos() -> None:
    masks = np.stack([pixels_of(OCTAGON), pixels_of(moved(OCTAGON, 5)), np.zeros((HEIGHT, WIDTH))])
    texts = encoded_masks(masks > 0)
    assert texts.dtype.kind == "S"
    np.testing.assert_array_equal(coco_masks.decode([code_of(text) for text in texts]).transpose(2, 0, 1), masks)
    assert len(encoded_masks(masks[:0])) == 0


def test_all_forms_of_a_file_are_read() -> None:
    one, other = OCTAGON, moved(OCTAGON, 8)
    counts = np.diff(np.flatnonzero(np.diff(pixels_of(one).T.ravel(), prepend=2, append=2))).tolist()
    counts = counts if not pixels_of(one)[0, 0] else [0, *counts]
    forms = [[one], [one, other], code_with_text(one), {"size": [HEIGHT, WIDTH], "counts": counts}]
    texts = masks_of_file([{"segmentation": form} for form in forms], (HEIGHT, WIDTH))
    found = coco_masks.decode([code_of(text) for text in texts])
    both = pixels_of(one) | pixels_of(other)
    for index, expected in enumerate((pixels_of(one), both, pixels_of(one), pixels_of(one))):
        np.testing.assert_array_equal(found[..., index], expected)
    assert masks_of_file([{"segmentation": [one]}, {"bbox": [0, 0, 1, 1]}], (HEIGHT, WIDTH)) is None


@pytest.mark.parametrize("shape", [[[]], [[1, 2]], [1, 1, 5, 1, 5, 5], {"counts": "x"}])
def test_masks_of_no_form_do_not_matter_where_boxes_are_found(shape: Any, tmp_path: Path) -> None:
    box = [2.0, 2.0, 9.0, 9.0]
    object_ = {"id": 1, "image_id": 1, "category_id": 1, "bbox": box, "area": 81.0, "iscrowd": 0, "segmentation": shape}
    image = {"id": 1, "height": HEIGHT, "width": WIDTH, "file_name": "x"}
    categories = [{"id": index + 1, "name": name} for index, name in enumerate(CLASSES)]
    file = tmp_path / "val.json"
    file.write_text(json.dumps({"images": [image], "annotations": [object_], "categories": categories}))
    metric = DetectionAP(ann_file=str(file))
    metric.dataset_meta = {"classes": CLASSES}
    corners = torch.tensor([[2.0, 2.0, 11.0, 11.0]])
    prediction = dict(bboxes=corners, scores=torch.ones(1), labels=torch.zeros(1, dtype=torch.long))
    metric.process(None, [{"img_id": 1, "pred_instances": prediction}])
    assert metric.compute_metrics(metric.results)["AP"] == pytest.approx(1)


def test_results_with_masks_are_restored_from_arrays() -> None:
    masks = encoded_masks(np.stack([pixels_of(OCTAGON), pixels_of(moved(OCTAGON, 3))]))
    boxes = np.array([[5.0, 5, 40, 30], [8, 8, 43, 33]], dtype=np.float32)
    none = np.zeros(0)
    found = [
        {0: Detections(boxes, boxes[:, 0], np.array([0, 1]), masks)},
        {0: Detections(boxes[:0], none, none.astype(int), masks[:0])},
    ]
    truth = ImageTruth(boxes, np.array([0, 1]), np.zeros(2, dtype=bool), boxes[:, 2], masks[::-1])
    again = PassResult.from_arrays(PassResult({0: truth}, found).arrays())
    assert again.truths[0].masks.tolist() == masks[::-1].tolist()
    assert [len(one[0].masks) for one in again.found] == [2, 0]


def finds(rng: np.random.Generator, image_id: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """True and found objects of an image as COCO's annotations, found ones near the true ones."""
    truths, found = [], []
    for _ in range(3):
        shape = moved(OCTAGON, float(rng.uniform(-5, 8)))
        label = int(rng.integers(len(CLASSES)))
        for objects, form in ((truths, shape), (found, moved(shape, float(rng.uniform(-4, 4))))):
            left, top, right, bottom = min(form[::2]), min(form[1::2]), max(form[::2]), max(form[1::2])
            box = [left, top, right - left, bottom - top]
            where = {"bbox": box, "area": box[2] * box[3], "iscrowd": 0, "segmentation": [form]}
            objects.append({"image_id": image_id, "category_id": label + 1, **where})
        found[-1]["score"] = float(rng.random())
    return truths, found


def by_pycocotools(document: dict[str, Any], found: list[dict[str, Any]]) -> float:
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = document
        coco.createIndex()
        rows = [{**one, "segmentation": code_with_text(one["segmentation"][0])} for one in found]
        for row in rows:
            del row["bbox"]
        evaluation = COCOeval(coco, coco.loadRes(rows), "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[0])


@pytest.mark.parametrize("from_file", [True, False])
def test_the_ap_of_masks_is_that_of_cocos_own_tool(tmp_path: Path, from_file: bool) -> None:
    rng = np.random.default_rng(1)
    images = [{"id": image_id, "height": HEIGHT, "width": WIDTH, "file_name": "x"} for image_id in range(1, 5)]
    objects = {image["id"]: finds(rng, image["id"]) for image in images}
    truths = [truth for own, _ in objects.values() for truth in own]
    document = {
        "images": images,
        "annotations": [{"id": index + 1, **truth} for index, truth in enumerate(truths)],
        "categories": [{"id": index + 1, "name": name} for index, name in enumerate(CLASSES)],
    }
    file = tmp_path / "val.json"
    file.write_text(json.dumps(document))

    def instances(rows: list[dict[str, Any]]) -> dict[str, Any]:
        boxes = torch.tensor([row["bbox"] for row in rows]).reshape(-1, 4)
        masks = np.stack([pixels_of(row["segmentation"][0]) for row in rows]) if rows else np.zeros((0, HEIGHT, WIDTH))
        labels = torch.tensor([row["category_id"] - 1 for row in rows], dtype=torch.long)
        return dict(bboxes=torch.cat([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1), labels=labels, masks=masks)

    metric = DetectionAP(ann_file=str(file) if from_file else None)
    metric.dataset_meta = {"classes": CLASSES}
    for image_id, (true, found) in objects.items():
        sample = {"img_id": image_id}
        for name, rows in (("gt_instances", true), ("ignored_instances", [])):
            truth = instances(rows)
            sample[name] = {**truth, "masks": BitmapMasks(truth["masks"], HEIGHT, WIDTH)}
        prediction = instances(found)
        scores = torch.tensor([row["score"] for row in found])
        sample["pred_instances"] = {**prediction, "masks": torch.from_numpy(prediction["masks"]) > 0, "scores": scores}
        metric.process({}, [sample])
    got = metric.compute_metrics(metric.results)
    expected = by_pycocotools(document, [one for _, found in objects.values() for one in found])
    assert 0.1 < expected < 0.9
    assert got["segm_AP"] == pytest.approx(expected, abs=1e-6)
    assert got["AP"] != pytest.approx(expected, abs=1e-5)


def test_a_detector_without_masks_has_no_ap_of_masks() -> None:
    metric = DetectionAP()
    metric.dataset_meta = {"classes": CLASSES}
    boxes, labels = torch.tensor([[5.0, 5, 40, 30]]), torch.tensor([0])
    masks = BitmapMasks(pixels_of(OCTAGON)[None], HEIGHT, WIDTH)
    truth = dict(bboxes=boxes, labels=labels, masks=masks)
    nothing = dict(bboxes=boxes[:0], labels=labels[:0], masks=BitmapMasks(np.zeros((0, HEIGHT, WIDTH)), HEIGHT, WIDTH))
    found = dict(bboxes=boxes, labels=labels, scores=torch.ones(1))
    metric.process({}, [dict(img_id=1, gt_instances=truth, ignored_instances=nothing, pred_instances=found)])
    assert set(metric.compute_metrics(metric.results)) == {"AP", "AP50", "AP75", "AP_small"}
