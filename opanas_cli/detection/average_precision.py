"""Average precision by pycocotools, unrounded: a search must not rank candidates by three digits."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from opanas_cli.errors import InvalidDataError

STATISTICS = ("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large")
"""The first six of pycocotools' summary; NaN where no ground truth falls into a range."""


class DetectionAP(BaseMetric):
    """COCO's average precision as fractions in [0, 1], for any mmdet data set.

    Args:
        ann_file: a COCO annotation file to take the ground truth from, restricted to the evaluated images: the
            official numbers. Without it the ground truth is what the test pipeline loaded; object areas, which
            decide between small, medium and large, are then those of the boxes.
        data_root: prefix of a relative `ann_file`.
    """

    # None would make mmengine warn that there is none.
    default_prefix = ""

    def __init__(self, ann_file: str | None = None, data_root: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.ann_file = str(Path(data_root or "", ann_file)) if ann_file else None

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Keep the detections and the ground truth of one batch."""
        self.results.extend(image_result(sample, with_truth=self.ann_file is None) for sample in data_samples)

    def compute_metrics(self, results: list[dict[str, Any]]) -> dict[str, float]:
        """The six statistics over all images."""
        classes = self.dataset_meta["classes"]
        if self.ann_file is None:
            # Data sets that were put together may number their images alike.
            results = [{**result, "image_id": index} for index, result in enumerate(results)]
            truth, category_ids = _truth_of_results(results, len(classes)), list(range(len(classes)))
        else:
            truth, category_ids = _truth_of_file(self.ann_file, classes)
        return average_precision(truth, results, category_ids)


def image_result(sample: Mapping[str, Any], with_truth: bool) -> dict[str, Any]:
    """Detections of one image, and its ground truth where asked: boxes (n, 4) as x1, y1, x2, y2 in original pixels."""
    predicted = sample["pred_instances"]
    result: dict[str, Any] = {
        "image_id": sample["img_id"],
        "boxes": _array(predicted["bboxes"]),
        "scores": _array(predicted["scores"]),
        "labels": _array(predicted["labels"]),
    }
    if with_truth:
        kept, ignored = sample["gt_instances"], sample["ignored_instances"]
        result["truth_boxes"] = np.concatenate([_array(kept["bboxes"]), _array(ignored["bboxes"])])
        result["truth_labels"] = np.concatenate([_array(kept["labels"]), _array(ignored["labels"])])
        result["truth_ignored"] = np.arange(len(result["truth_labels"])) >= len(kept["labels"])
    return result


def average_precision(
    truth: COCO, results: Sequence[Mapping[str, Any]], category_ids: Sequence[int]
) -> dict[str, float]:
    """COCO's statistics of `results` (see `image_result`) against `truth`, on the images that `results` hold.

    Args:
        category_ids: the category id of each label.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        detections = _detections(truth, results, category_ids)
        evaluation = COCOeval(truth, detections, "bbox")
        evaluation.params.imgIds = sorted({result["image_id"] for result in results}) if results else []
        evaluation.params.catIds = list(category_ids)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    values = [float(value) for value in evaluation.stats[: len(STATISTICS)]]
    # pycocotools says -1 where there is nothing to find.
    return {name: value if value >= 0 else float("nan") for name, value in zip(STATISTICS, values, strict=True)}


def _array(values: Any) -> NDArray[Any]:
    tensor = getattr(values, "tensor", values)
    array: NDArray[Any] = tensor.detach().cpu().numpy()
    return array


def _xywh(boxes: NDArray[Any]) -> NDArray[Any]:
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1).astype(np.float64)


def _detections(truth: COCO, results: Sequence[Mapping[str, Any]], category_ids: Sequence[int]) -> COCO:
    annotations: list[dict[str, Any]] = []
    for result in results:
        boxes = _xywh(result["boxes"].reshape(-1, 4))
        for box, score, label in zip(boxes, result["scores"], result["labels"], strict=True):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": result["image_id"],
                    "category_id": category_ids[int(label)],
                    "bbox": box.tolist(),
                    "area": float(box[2] * box[3]),
                    "score": float(score),
                    "iscrowd": 0,
                }
            )
    return _coco(truth.dataset["images"], annotations, truth.dataset["categories"])


def _truth_of_results(results: Sequence[Mapping[str, Any]], num_classes: int) -> COCO:
    images, annotations = [], []
    for result in results:
        images.append({"id": result["image_id"]})
        boxes = _xywh(result["truth_boxes"].reshape(-1, 4))
        for box, label, ignored in zip(boxes, result["truth_labels"], result["truth_ignored"], strict=True):
            if box[2] <= 0 or box[3] <= 0:
                continue
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": result["image_id"],
                    "category_id": int(label),
                    "bbox": box.tolist(),
                    "area": float(box[2] * box[3]),
                    "iscrowd": int(ignored),
                }
            )
    return _coco(images, annotations, [{"id": label} for label in range(num_classes)])


def _truth_of_file(ann_file: str, classes: Sequence[str]) -> tuple[COCO, list[int]]:
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(ann_file)
    for annotation in truth.dataset["annotations"]:
        annotation.setdefault("iscrowd", 0)
    by_name = {category["name"]: category["id"] for category in truth.dataset["categories"]}
    missing = [name for name in classes if name not in by_name]
    if missing:
        raise InvalidDataError(f"{ann_file}: no category is called '{missing[0]}'; it has {', '.join(by_name)}")
    # mmdet labels categories in the order of the file, whatever the order of `classes`.
    wanted = set(classes)
    return truth, [identity for name, identity in by_name.items() if name in wanted]


def _coco(images: list[Any], annotations: list[Any], categories: list[Any]) -> COCO:
    coco = COCO()
    coco.dataset = {"info": {}, "images": images, "annotations": annotations, "categories": categories}
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    return coco
