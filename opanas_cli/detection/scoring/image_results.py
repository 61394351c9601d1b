"""The ground truth of an image, and what a detector found in it, as compact arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opanas_cli.detection.data.annotation_files import forget_coco, read_coco
from opanas_cli.detection.scoring.masks import encoded_masks, masks_of_file
from opanas_cli.errors import InvalidDataError


@dataclass(frozen=True)
class Detections:
    """What was found in one image.

    `boxes` (n, 4) are x1, y1, x2, y2 in pixels of the original image, `scores` (n,) and `labels` (n,) belong to them;
    of the types that the detector computes in, float32 as a rule. `masks` (n,) are those of the objects, see
    `encoded_masks`, None if the detector finds none or they are not asked for.
    """

    boxes: NDArray[Any]
    scores: NDArray[Any]
    labels: NDArray[Any]
    masks: NDArray[Any] | None = None

    @classmethod
    def of(cls, instances: Any, with_masks: bool = True) -> Detections:
        """mmdet's `pred_instances`, as instance data or as a dict of tensors on any device."""
        boxes = _array(instances["bboxes"]).reshape(-1, 4)
        masks = None
        if with_masks and ("masks" in instances or not len(boxes)):
            masks = encoded_masks(_array(instances["masks"]) if len(boxes) else np.zeros((0, 1, 1)))
        return cls(boxes, _array(instances["scores"]), _array(instances["labels"]), masks)


@dataclass(frozen=True)
class ImageTruth:
    """The ground truth of one image.

    `boxes` (m, 4) are x, y, width, height in pixels of the original image, float64; `labels` (m,); `ignored` (m,) says
    which are crowds or difficult, and count neither as found nor as missed; `areas` (m,) decide between small, medium
    and large. `masks` (m,) are as in `Detections`.
    """

    boxes: NDArray[Any]
    labels: NDArray[Any]
    ignored: NDArray[Any]
    areas: NDArray[Any]
    masks: NDArray[Any] | None = None

    @classmethod
    def of(cls, sample: Mapping[str, Any], with_masks: bool = True) -> ImageTruth:
        """The ground truth in mmdet's data sample, a dict, without boxes with no area; areas are those of the boxes."""
        kept, ignored = sample["gt_instances"], sample["ignored_instances"]
        boxes = width_and_height(np.concatenate([_array(part["bboxes"]).reshape(-1, 4) for part in (kept, ignored)]))
        labels = np.concatenate([_array(part["labels"]) for part in (kept, ignored)])
        of_area = (boxes[:, 2] > 0) & (boxes[:, 3] > 0)
        is_ignored = np.arange(len(labels)) >= len(kept["labels"])
        boxes = boxes[of_area]
        masks = None
        if with_masks and "masks" in kept and "masks" in ignored:
            masks = encoded_masks(np.concatenate([part["masks"].to_ndarray() for part in (kept, ignored)]))[of_area]
        return cls(boxes, labels[of_area], is_ignored[of_area], boxes[:, 2] * boxes[:, 3], masks)


def truths_of_file(
    ann_file: str, classes: Sequence[str], image_ids: Sequence[Any], with_masks: bool
) -> list[ImageTruth]:
    """What a COCO annotation file says of some of its images.

    Raises InvalidDataError if the file cannot be read, or lacks one of `classes`. mmdet labels categories in the order
    of the file, whatever the order of these.
    """
    document = read_coco(Path(ann_file))
    by_name = {category["name"]: category["id"] for category in document["categories"]}
    missing = [name for name in classes if name not in by_name]
    if missing:
        raise InvalidDataError(f"{ann_file}: no category is called '{missing[0]}'; it has {', '.join(by_name)}")
    wanted = set(classes)
    labels = {key: label for label, key in enumerate(key for name, key in by_name.items() if name in wanted)}
    found: dict[Any, list[Any]] = {image_id: [] for image_id in image_ids}
    for annotation in document["annotations"]:
        if annotation["image_id"] in found and annotation["category_id"] in labels:
            found[annotation["image_id"]].append(annotation)
    sizes = {image["id"]: (image.get("height"), image.get("width")) for image in document["images"]}
    truths = {
        image_id: ImageTruth(
            np.array([annotation["bbox"] for annotation in own], dtype=np.float64).reshape(-1, 4),
            np.array([labels[annotation["category_id"]] for annotation in own], dtype=np.int64),
            np.array([bool(annotation.get("iscrowd", 0)) for annotation in own], dtype=bool),
            np.array([annotation["area"] for annotation in own], dtype=np.float64),
            masks_of_file(own, sizes[image_id]) if with_masks else None,
        )
        for image_id, own in found.items()
    }
    forget_coco()
    return [truths[image_id] for image_id in image_ids]


def width_and_height(corners: NDArray[Any]) -> NDArray[Any]:
    """Boxes (n, 4) of x1, y1, x2, y2 as x, y, width, height, in float64."""
    exact = corners.astype(np.float64)
    return np.concatenate([exact[:, :2], exact[:, 2:] - exact[:, :2]], axis=1)


def _array(values: Any) -> NDArray[Any]:
    tensor = getattr(values, "tensor", values)
    # A copy: a slice would keep the rest in memory.
    return np.array(tensor.detach().cpu().numpy())
