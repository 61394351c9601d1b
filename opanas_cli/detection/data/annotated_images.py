"""The images of a data set config one by one, read as mmdet will read them, each entry checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from opanas_cli.detection.data.annotation_files import (
    image_folder,
    is_voc,
    is_yolo,
    read_coco,
    require_inside,
    source_of,
    voc_objects,
    xml_folder,
)
from opanas_cli.detection.data.image_files import size_or_problem, stored_size
from opanas_cli.detection.data.split_parts import in_part
from opanas_cli.detection.data.voc_folder import ImagesByStem, has_area
from opanas_cli.detection.data.yolo_files import class_names, yolo_boxes, yolo_pairs
from opanas_cli.errors import InvalidDataError

SIDES = ("xmin", "ymin", "xmax", "ymax")
MOST_PIXELS = 1 << 31

Box = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels."""


@dataclass
class AnnotatedImage:
    """One image, with (width, height) if its annotation or its header states them.

    `name` is its path from the folder of the images on. Objects with an area are in `objects`, each with its class;
    boxes with none, which are not trained on, are only counted, in `empty_boxes`. `has_annotation` says whether there
    is a file that says so if there are neither.
    """

    name: str
    path: Path
    size: tuple[float, float] | None
    objects: list[tuple[str, Box]] = field(default_factory=list)
    empty_boxes: int = 0
    has_annotation: bool = True

    def add(self, name: str, box: Box, of_area: bool) -> None:
        """An object of a class."""
        if of_area:
            self.objects.append((name, box))
        else:
            self.empty_boxes += 1


Found = AnnotatedImage | InvalidDataError
"""An image, or why it or one of its entries cannot be used."""


def annotated_images(dataset: Any, backend: str) -> Iterator[Found]:
    """The images of a data set config, in the order of its files.

    They are read one by one, but a COCO file as a whole. Raises InvalidDataError if nothing can be read.
    """
    read: Callable[[Any, str], Iterator[Found]] = (
        _voc_images if is_voc(dataset) else _yolo_images if is_yolo(dataset) else _coco_images
    )
    return read(dataset, backend)


def declared_classes(dataset: Any) -> tuple[str, ...] | None:
    """The classes that the annotations of a data set config declare, in their order; None if they declare none."""
    if is_voc(dataset):
        return None
    source = source_of(dataset)
    if is_yolo(dataset):
        return class_names(source)
    document = _coco_document(source)
    names = [entry["name"] for entry in _by_id(document["categories"], "categories", source).values()]
    return tuple(_no_repeats(names, source))


def _yolo_images(dataset: Any, backend: str) -> Iterator[Found]:
    names, folder = class_names(source_of(dataset)), image_folder(dataset)
    for name, label in yolo_pairs(dataset):
        path = folder / name
        size = stored_size(path, backend)
        if isinstance(size, str):
            yield InvalidDataError(f"{path}: {size}; restore or remove it")
            continue
        try:
            boxes = yolo_boxes(label, names)
        except InvalidDataError as error:
            yield error
            continue
        image = AnnotatedImage(name, path, size, has_annotation=label.exists())
        for kind, (left, top, right, bottom) in boxes:
            box = left * size[0], top * size[1], right * size[0], bottom * size[1]
            # As mmdet takes them from COCO's files.
            image.add(kind, box, has_area(box, *size) and min(box[2] - box[0], box[3] - box[1]) >= 1)
        yield image


def _coco_images(dataset: Any, backend: str) -> Iterator[Found]:
    source, folder, part = source_of(dataset), image_folder(dataset), dataset.get("part")
    document = _coco_document(source)
    names = {key: entry["name"] for key, entry in _by_id(document["categories"], "categories", source).items()}
    entries = _by_id(document["images"], "images", source)
    images: dict[Any, AnnotatedImage] = {}
    for index, (key, entry) in enumerate(entries.items()):
        try:
            place = f"{source}: images[{index}]"
            width, height = _numbers([entry["width"], entry["height"]], f"{place}: width and height")
            require_inside(entry["file_name"], f"{place}.file_name")
        except InvalidDataError as error:
            yield error
            continue
        if in_part(entry["file_name"], part):
            path = folder / entry["file_name"]
            images[key] = AnnotatedImage(entry["file_name"], path, (width, height))
    annotations = _by_id(document["annotations"], "annotations", source) if entries else {}
    with_masks = any(step.get("with_mask") for step in dataset.get("pipeline") or ())
    for index, annotation in enumerate(annotations.values()):
        try:
            if with_masks and not annotation.get("segmentation"):
                place = f"{source}: annotations[{index}]"
                raise InvalidDataError(f"{place}: has no segmentation, but the pipeline loads masks (with_mask=True)")
            _add_annotation(annotation, f"{source}: annotations[{index}]", names, entries, images)
        except InvalidDataError as error:
            yield error
    yield from images.values()


def _add_annotation(
    annotation: Any, place: str, names: dict[Any, str], entries: dict[Any, Any], images: dict[Any, AnnotatedImage]
) -> None:
    for key, known in (("category_id", names), ("image_id", entries)):
        if annotation[key] not in known:
            what = f"{annotation[key]!r:.40} is not in the file"
            raise InvalidDataError(f"{place}.{key}: {what}; correct or remove it")
    box = annotation["bbox"]
    if not isinstance(box, list) or len(box) != 4:
        raise InvalidDataError(f"{place}.bbox: must be [x, y, width, height], but got {box!r:.60}")
    left, top, width, height, area = _numbers([*box, annotation["area"]], f"{place}: bbox and area")
    image = images.get(annotation["image_id"])
    if image is None or image.size is None:
        return
    outside = left >= image.size[0] or top >= image.size[1] or left + width <= 0 or top + height <= 0
    of_area = width >= 1 and height >= 1 and area > 0 and not outside
    image.add(names[annotation["category_id"]], (left, top, left + width, top + height), of_area)


def _coco_document(source: Path) -> dict[str, Any]:
    document = read_coco(source)
    for key in ("images", "annotations", "categories"):
        if not isinstance(document.get(key), list):
            raise InvalidDataError(f"{source}: has no list '{key}'; a COCO file has images, annotations and categories")
    return document


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


def _voc_images(dataset: Any, backend: str) -> Iterator[Found]:
    folder, annotations = image_folder(dataset), xml_folder(dataset)
    images = ImagesByStem(folder)
    for name, tree in voc_objects(dataset):
        if isinstance(tree, InvalidDataError):
            yield tree
            continue
        file_name = images[name] if dataset["type"] == "VOCFolder" else f"{name}.jpg"
        try:
            yield _voc_image(annotations / f"{name}.xml", tree, file_name, folder / file_name, backend)
        except InvalidDataError as error:
            yield error


def _voc_image(source: Path, tree: ElementTree.Element, name: str, path: Path, backend: str) -> AnnotatedImage:
    image = AnnotatedImage(name, path, _voc_size(tree, source))
    size = image.size or size_or_problem(path, backend)
    for index, thing in enumerate(tree.findall("object")):
        kind, box = _voc_object(thing, f"{source}: object[{index}]")
        # Problems of an image are reported when the images are checked.
        image.add(kind, box, isinstance(size, str) or has_area(box, *size))
    return image


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


def _voc_object(thing: ElementTree.Element, place: str) -> tuple[str, Box]:
    """The class of an object, and the left, top, right and bottom of its box counted from 0, as mmdet reads them."""
    name = thing.findtext("name", "")
    if not name.strip():
        raise InvalidDataError(f"{place}: has no name")
    try:
        sides = [float(thing.findtext(f"bndbox/{side}", "")) for side in SIDES]
    except ValueError as error:
        raise InvalidDataError(f"{place}: bndbox needs the numbers {', '.join(SIDES)}") from error
    left, top, right, bottom = (int(side) - 1 for side in _numbers(sides, f"{place}: {', '.join(SIDES)}"))
    if not thing.findtext("difficult", "0").strip().isdecimal():
        raise InvalidDataError(f"{place}: difficult must be 0 or 1, but got {thing.findtext('difficult')!r}")
    return name, (left, top, right, bottom)
