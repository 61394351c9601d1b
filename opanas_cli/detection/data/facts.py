"""What the annotation files of a data set say, read as mmdet will read them, each entry checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from opanas_cli.detection.data.annotation_files import is_voc, read_coco, require_inside, voc_objects
from opanas_cli.detection.data.image_files import size_or_problem
from opanas_cli.detection.data.voc_folder import IMAGES, ImagesByStem, has_area
from opanas_cli.errors import InvalidConfigError, InvalidDataError

SIDES = ("xmin", "ymin", "xmax", "ymax")
MOST_PIXELS = 1 << 31


@dataclass
class DataFacts:
    """One annotation file: its images, each with (width, height) if it states them, and its objects by class.

    Objects with an area are in `objects`; boxes with none are only counted, in `empty_boxes`. `corners` has, for each
    image with objects, the largest left and the largest top of their boxes. `categories` are the classes that the file
    declares, in its order; None if it declares none. `backend` is what mmcv decodes images with.
    """

    source: Path
    backend: str
    images: dict[Path, tuple[float, float] | None] = field(default_factory=dict)
    objects: Counter[str] = field(default_factory=Counter)
    corners: dict[Path, tuple[float, float]] = field(default_factory=dict)
    empty_boxes: int = 0
    categories: tuple[str, ...] | None = None

    def add(self, name: str, path: Path, left: float, top: float) -> None:
        """Count an object of a class, with an area, in the image of a path."""
        self.objects[name] += 1
        before = self.corners.get(path, (left, top))
        self.corners[path] = max(left, before[0]), max(top, before[1])


def facts_of(dataset: Any, config_name: str) -> DataFacts:
    """Read the annotations of a data set config.

    Raises InvalidConfigError if it does not name them, InvalidDataError if they are missing or an entry is broken.
    """
    if not dataset.get("ann_file") or not isinstance(dataset.get("type"), str):
        raise InvalidConfigError(f"{config_name}: a data set has no type or no ann_file; set both")
    loading = next((step for step in dataset.get("pipeline") or () if "imdecode_backend" in step), {})
    facts = (_voc_facts if is_voc(dataset) else _coco_facts)(dataset, loading.get("imdecode_backend", "cv2"))
    if not facts.images:
        raise InvalidDataError(f"{facts.source}: lists no images")
    return facts


def _coco_facts(dataset: Any, backend: str) -> DataFacts:
    root = Path(dataset.get("data_root") or "")
    source, folder = root / dataset["ann_file"], root / ((dataset.get("data_prefix") or {}).get("img") or "")
    with_masks = any(step.get("with_mask") for step in dataset.get("pipeline") or ())
    document = read_coco(source)
    for key in ("images", "annotations", "categories"):
        if not isinstance(document.get(key), list):
            raise InvalidDataError(f"{source}: has no list '{key}'; a COCO file has images, annotations and categories")
    names = {key: entry["name"] for key, entry in _by_id(document["categories"], "categories", source).items()}
    images = _by_id(document["images"], "images", source)
    facts = DataFacts(source, backend, categories=tuple(_no_repeats(list(names.values()), source)))
    paths: dict[Any, Path] = {}
    for index, (key, image) in enumerate(images.items()):
        width, height = _numbers([image["width"], image["height"]], f"{source}: images[{index}]: width and height")
        require_inside(image["file_name"], f"{source}: images[{index}].file_name")
        paths[key] = folder / image["file_name"]
        facts.images[paths[key]] = (width, height)
    annotations = _by_id(document["annotations"], "annotations", source) if images else {}
    for index, annotation in enumerate(annotations.values()):
        place = f"{source}: annotations[{index}]"
        for key, known in (("category_id", names), ("image_id", images)):
            if annotation[key] not in known:
                what = f"{annotation[key]!r:.40} is not in the file"
                raise InvalidDataError(f"{place}.{key}: {what}; correct or remove it")
        box = annotation["bbox"]
        if not isinstance(box, list) or len(box) != 4:
            raise InvalidDataError(f"{place}.bbox: must be [x, y, width, height], but got {box!r:.60}")
        if with_masks and not annotation.get("segmentation"):
            raise InvalidDataError(f"{place}: has no segmentation, but the pipeline loads masks (with_mask=True)")
        left, top, width, height, area = _numbers([*box, annotation["area"]], f"{place}: bbox and area")
        image = images[annotation["image_id"]]
        outside = left >= image["width"] or top >= image["height"] or left + width <= 0 or top + height <= 0
        if width < 1 or height < 1 or area <= 0 or outside:
            facts.empty_boxes += 1
        else:
            facts.add(names[annotation["category_id"]], paths[annotation["image_id"]], left, top)
    return facts


_COCO_KEYS = {
    "categories": ("id", "name"),
    "images": ("id", "file_name", "width", "height"),
    "annotations": ("id", "image_id", "category_id", "bbox", "area"),
}
"""What mmdet reads of every entry."""

_FLAGS = ("iscrowd", "ignore")
"""Optional keys of an annotation that mmdet reads as true or false: the text "0" would be true."""


def _by_id(entries: Sequence[Any], kind: str, source: Path) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for index, entry in enumerate(entries):
        place = f"{source}: {kind}[{index}]"
        if not isinstance(entry, dict):
            raise InvalidDataError(f"{place}: must be a JSON object, but got {entry!r:.40}")
        for key in _COCO_KEYS[kind]:
            if key not in entry:
                raise InvalidDataError(f"{place}: has no '{key}'; every entry needs {', '.join(_COCO_KEYS[kind])}")
            if key.endswith("id") and (not isinstance(entry[key], (int, str)) or isinstance(entry[key], bool)):
                raise InvalidDataError(f"{place}.{key}: must be a number, but got {entry[key]!r:.40}")
            if key.endswith("name") and not isinstance(entry[key], str):
                raise InvalidDataError(f"{place}.{key}: must be text in quotes, but got {entry[key]!r:.40}")
        for key in _FLAGS if kind == "annotations" else ():
            if entry.get(key, 0) not in (0, 1):
                raise InvalidDataError(f"{place}.{key}: must be 0 or 1, but got {entry[key]!r:.40}")
        if entry["id"] in found:
            raise InvalidDataError(f"{place}.id: {entry['id']!r:.40} is given twice; ids must be unique")
        found[entry["id"]] = entry
    return found


def _no_repeats(names: Sequence[str], source: Path) -> Sequence[str]:
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise InvalidDataError(f"{source}: two categories are called '{repeated[0]}'; rename or merge them")
    return names


_LARGEST = float(np.finfo(np.float32).max)
"""A box of larger numbers would be infinite for the network."""


def _numbers(values: Sequence[Any], what: str) -> list[float]:
    for value in values:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= _LARGEST:
            raise InvalidDataError(f"{what} must be finite numbers, but got {value!r:.40}")
    return list(values)


def _voc_facts(dataset: Any, backend: str) -> DataFacts:
    root = Path(dataset.get("data_root") or "")
    folder = root / (dataset.get("data_prefix") or {}).get("sub_data_root", "")
    facts = DataFacts(root / dataset["ann_file"], backend)
    images = ImagesByStem(folder / IMAGES)
    for path, tree in voc_objects(folder, facts.source):
        name = path.relative_to(folder / "Annotations").as_posix().removesuffix(".xml")
        image = images[name] if dataset["type"] == "VOCFolder" else f"{name}.jpg"
        stated = facts.images[folder / IMAGES / image] = _voc_size(tree, path)
        size = stated or size_or_problem(folder / IMAGES / image, facts.backend)
        for index, thing in enumerate(tree.findall("object")):
            name, box = _voc_object(thing, f"{path}: object[{index}]")
            # Problems of an image are reported when the images are checked.
            if isinstance(size, str) or has_area(box, *size):
                facts.add(name, folder / IMAGES / image, *box[:2])
            else:
                facts.empty_boxes += 1
    return facts


def _voc_size(tree: ElementTree.Element, path: Path) -> tuple[float, float] | None:
    if tree.find("size") is None:
        return None
    width, height = tree.findtext("size/width", ""), tree.findtext("size/height", "")
    try:
        size = int(width), int(height)
    except ValueError:
        size = 0, 0
    if not all(0 < side < MOST_PIXELS for side in size):
        raise InvalidDataError(
            f"{path}: size: width and height must be whole numbers of pixels, but got {width!r:.40} and "
            f"{height!r:.40}; correct or remove it"
        )
    return size


def _voc_object(thing: ElementTree.Element, place: str) -> tuple[str, list[int]]:
    """The class of an object, and the left, top, right and bottom of its box counted from 0, as mmdet reads them."""
    name = thing.findtext("name", "")
    if not name.strip():
        raise InvalidDataError(f"{place}: has no name")
    try:
        sides = [float(thing.findtext(f"bndbox/{side}", "")) for side in SIDES]
    except ValueError as error:
        raise InvalidDataError(f"{place}: bndbox needs the numbers {', '.join(SIDES)}") from error
    box = [int(side) - 1 for side in _numbers(sides, f"{place}: {', '.join(SIDES)}")]
    if not thing.findtext("difficult", "0").strip().isdecimal():
        raise InvalidDataError(f"{place}: difficult must be 0 or 1, but got {thing.findtext('difficult')!r}")
    return name, box
