"""Average precision of one detector or of a population, unrounded: a search must not rank by three digits."""

from __future__ import annotations

import contextlib
import gc
import io
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from mmengine.evaluator import BaseMetric
from numpy.typing import NDArray

from opanas_cli.detection.scoring.image_results import Detections, ImageTruth, truths_of_file, width_and_height
from opanas_cli.detection.scoring.masks import code_of
from opanas_cli.detection.scoring.voc_average_precision import voc_average_precision
from opanas_cli.search.evaluator import defined
from opanas_cli.stage_settings import BOX_METRICS, METRICS

try:
    from faster_coco_eval import COCO
    from faster_coco_eval import COCOeval_faster as COCOeval
except ImportError:  # The extra `fast` brings it.
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

STATISTICS = BOX_METRICS
"""Not defined if no ground truth falls into a range."""

VOC_AP50, SEGM_AP = METRICS[len(BOX_METRICS) :]


class GroundTruth:
    """The ground truth of a set of images, indexed once for any number of candidates.

    Args:
        images: in the order in which the detections will be given. Among detections of equal scores those of earlier
            images come first.
        meta: the data set's `metainfo`: its classes, and for VOC its year.
    """

    def __init__(self, images: Sequence[ImageTruth], meta: Any) -> None:
        self.images = images
        self.num_classes = len(meta["classes"])
        self.dataset_type = meta.get("dataset_type")
        self.has_masks = all(own.masks is not None for own in images)
        columns = [(own.boxes, own.areas, own.labels, own.ignored.astype(int), own.labels * 0) for own in images]
        self.coco = _coco(columns, self.num_classes, [own.masks for own in images] if self.has_masks else None)


def score_population(
    population: Sequence[Sequence[Detections]], truth: GroundTruth, voc: bool = False
) -> list[dict[str, float]]:
    """The statistics of every candidate on the same images, as fractions in [0, 1].

    Args:
        population: for each candidate its detections in each image, in the order of the images of `truth`.
        truth: built once, and only read.
        voc: also `VOC_AP50`, the mean average precision at an overlap of one half by PASCAL VOC's rules: by eleven
            points if the data set is VOC 2007, else by the area under the curve.

    Returns:
        `STATISTICS` by their names, `VOC_AP50` if asked for, and `SEGM_AP` if all images have masks, found and true;
        without those that are not `defined`, for example because there are no objects.
    """
    with _quick():
        scores = [_coco_statistics(candidate, truth) for candidate in population]
    if voc:
        eleven_points = truth.dataset_type == "VOC2007"
        for candidate, statistics in zip(population, scores, strict=True):
            statistics[VOC_AP50] = voc_average_precision(candidate, truth.images, truth.num_classes, eleven_points)
    return [defined(statistics) for statistics in scores]


class DetectionAP(BaseMetric):
    """COCO's average precision as fractions in [0, 1], for any mmdet data set, and `VOC_AP50` for one of VOC.

    With `SEGM_AP`, that of masks, if the detector finds masks and the ground truth has them.

    Args:
        ann_file: a COCO annotation file to take the ground truth from, restricted to the evaluated images: the
            official numbers. Without it the ground truth is what the test pipeline loaded; object areas, which
            decide between small, medium and large, are then those of the boxes.
        data_root: prefix of a relative `ann_file`.
    """

    # mmengine would warn of None.
    default_prefix = ""

    def __init__(self, ann_file: str | None = None, data_root: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.ann_file = str(Path(data_root or "", ann_file)) if ann_file else None

    def process(self, data_batch: Any, data_samples: Sequence[Any]) -> None:
        """Keep the detections and the ground truth of one batch."""
        for sample in data_samples:
            truth = ImageTruth.of(sample) if self.ann_file is None else None
            self.results.append((sample["img_id"], Detections.of(sample["pred_instances"]), truth))

    def compute_metrics(self, results: list[tuple[Any, Detections, ImageTruth | None]]) -> dict[str, float]:
        """The statistics over all images."""
        meta = self.dataset_meta
        if self.ann_file is None:
            truths = [truth for _, _, truth in results if truth is not None]
        else:
            # Detections of equal scores are ranked by the images' ids, as COCO's own tool does.
            results = sorted(results, key=lambda result: result[0])
            with_masks = any(found.masks is not None and len(found.boxes) for _, found, _ in results)
            images = [image_id for image_id, _, _ in results]
            truths = truths_of_file(self.ann_file, meta["classes"], images, with_masks)
        # Only data sets of VOC have a type.
        return score_population(
            [[found for _, found, _ in results]], GroundTruth(truths, meta), "dataset_type" in meta
        )[0]


@contextlib.contextmanager
def _quick() -> Iterator[None]:
    """Pause the garbage collector: millions of small dicts, none in a cycle, make it search all memory for nothing."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _coco_statistics(candidate: Sequence[Detections], truth: GroundTruth) -> dict[str, float]:
    if not truth.images:
        return dict.fromkeys(STATISTICS, float("nan"))
    boxes = [width_and_height(found.boxes) for found in candidate]
    columns = [
        (own, own[:, 2] * own[:, 3], found.labels, found.labels * 0, found.scores)
        for own, found in zip(boxes, candidate, strict=True)
    ]
    masks = [found.masks for found in candidate]
    has_masks = truth.has_masks and all(own is not None for own in masks)
    detections = _coco(columns, truth.num_classes, masks if has_masks else None)
    statistics = dict(zip(STATISTICS, _summary(truth.coco, detections, "bbox"), strict=False))
    if has_masks:
        statistics[SEGM_AP] = _summary(truth.coco, detections, "segm")[0]
    return statistics


def _summary(truth: COCO, detections: COCO, kind: str) -> list[float]:
    """The figures of COCO's summary, of boxes or of masks ("segm"); NaN if there are no objects."""
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(truth, detections, kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    # The library gives -1 if there are no objects.
    return [float(value) if value >= 0 else float("nan") for value in evaluation.stats]


def _coco(
    images: Sequence[Sequence[NDArray[Any]]], num_classes: int, masks: Sequence[NDArray[Any]] | None = None
) -> COCO:
    """An indexed data set whose images and categories are numbered from 0.

    Of each image: boxes (n, 4) as x, y, width, height, and (n,) of areas, labels, whether crowds, and scores; and its
    encoded masks.
    """
    numbers = count(1)
    coco = COCO()
    coco.dataset = {
        "info": {},
        "images": [{"id": index, "height": 0, "width": 0} for index in range(len(images))],  # Read, but not used.
        "annotations": [
            {
                "id": next(numbers),
                "image_id": index,
                "category_id": label,
                "bbox": box,
                "area": area,
                "iscrowd": crowd,
                "score": score,
                **({} if masks is None else {"segmentation": code_of(masks[index][position])}),
            }
            for index, columns in enumerate(images)
            for position, (box, area, label, crowd, score) in enumerate(
                zip(*(column.tolist() for column in columns), strict=True)
            )
        ],
        "categories": [{"id": label} for label in range(num_classes)],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    return coco
