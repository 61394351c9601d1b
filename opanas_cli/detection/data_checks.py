"""Looks at a data set before hours are spent on it: files, boxes, classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config
from PIL import Image

from opanas_cli.detection.config_parts import class_heads, each_dataset
from opanas_cli.detection.own_folder import read_coco, voc_objects
from opanas_cli.errors import InvalidConfigError, InvalidDataError

TAIL_BYTES = 65536
END_MARKERS = {"JPEG": b"\xff\xd9", "PNG": b"IEND"}


@dataclass
class DataFacts:
    """What a check found in one annotation file."""

    source: Path
    images: list[Path] = field(default_factory=list)
    objects: Counter[str] = field(default_factory=Counter)
    empty_boxes: int = 0


def check_data(config: Config, splits: Sequence[str], warn: Callable[[str], None]) -> None:
    """Check the annotations and images of some splits, and that the heads have as many classes as the data.

    Args:
        splits: of ``train``, ``val`` and ``test``.
        warn: is told of what is left out, boxes without area among it.

    Raises:
        InvalidDataError: an annotation file or an image is missing or broken, a split has no object, or objects are
            of a class that the config does not name.
        InvalidConfigError: the heads' `num_classes` does not match the data.
    """
    seen: set[Path] = set()
    for split in splits:
        for dataset in each_dataset(config.get(f"{split}_dataloader")):
            source = Path(dataset.get("data_root") or "", dataset["ann_file"])
            if source in seen:
                continue
            seen.add(source)
            facts = (
                _voc_facts(dataset) if "VOC" in dataset["type"] or "XML" in dataset["type"] else _coco_facts(dataset)
            )
            _check_facts(facts, _classes(dataset), warn)
            _check_head(config, len(_classes(dataset)), source)
            check_images(facts.images, source)


def check_images(paths: Sequence[Path], source: Path) -> None:
    """Check that images exist, are images, and end where an image of their format ends.

    Raises:
        InvalidDataError: the first that does not, with its path.
    """
    with ThreadPoolExecutor() as pool:
        for path, problem in zip(paths, pool.map(_image_problem, paths), strict=True):
            if problem:
                raise InvalidDataError(
                    f"{path}: {problem}; restore it, or take it out of {source}, which lists {len(paths)} images"
                )


def _image_problem(path: Path) -> str | None:
    try:
        with path.open("rb") as file, Image.open(file) as image:
            marker = END_MARKERS.get(image.format or "")
            file.seek(max(0, path.stat().st_size - TAIL_BYTES))
            return "is truncated" if marker and marker not in file.read() else None
    except FileNotFoundError:
        return "no such image"
    except (OSError, SyntaxError) as error:
        return f"is not a readable image ({type(error).__name__})"


def _classes(dataset: Any) -> tuple[str, ...]:
    from mmdet.registry import DATASETS

    given = (dataset.get("metainfo") or {}).get("classes")
    return tuple(given or DATASETS.get(dataset["type"]).METAINFO.get("classes", ()))


def _coco_facts(dataset: Any) -> DataFacts:
    source = Path(dataset.get("data_root") or "", dataset["ann_file"])
    document = read_coco(source)
    for key in ("images", "annotations", "categories"):
        if not isinstance(document.get(key), list):
            raise InvalidDataError(f"{source}: has no list '{key}'; a COCO file has images, annotations and categories")
    folder = Path(dataset.get("data_root") or "", dataset["data_prefix"]["img"])
    try:
        names = {category["id"]: category["name"] for category in document["categories"]}
        facts = DataFacts(source, [folder / image["file_name"] for image in document["images"]])
        image_ids = {image["id"] for image in document["images"]}
        for index, annotation in enumerate(document["annotations"]):
            if annotation["category_id"] not in names or annotation["image_id"] not in image_ids:
                key = "category_id" if annotation["category_id"] not in names else "image_id"
                raise InvalidDataError(f"{source}: annotations[{index}].{key}: {annotation[key]} is not in the file")
            _, _, width, height = annotation["bbox"]
            facts.empty_boxes += width <= 0 or height <= 0
            facts.objects[names[annotation["category_id"]]] += 1
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidDataError(f"{source}: an entry lacks or misspells {error}; see COCO's data format") from error
    missing = [name for name in _classes(dataset) if name not in names.values()]
    if missing:
        raise InvalidDataError(
            f"{source}: has no category '{missing[0]}', which the config's classes name; its categories are "
            f"{', '.join(names.values())}"
        )
    return facts


def _voc_facts(dataset: Any) -> DataFacts:
    folder = Path(dataset.get("data_root") or "", dataset["data_prefix"].get("sub_data_root", ""))
    source = Path(dataset.get("data_root") or "", dataset["ann_file"])
    if not source.is_file():
        raise InvalidDataError(f"{source}: no such file; it lists the images of the split")
    facts = DataFacts(source)
    for path, tree in voc_objects(folder, source):
        facts.images.append(folder / "JPEGImages" / f"{path.stem}.jpg")
        for index, thing in enumerate(tree.findall("object")):
            try:
                box = [float(thing.find("bndbox").find(side).text) for side in ("xmin", "ymin", "xmax", "ymax")]  # type: ignore[union-attr, arg-type]
                name = str(thing.find("name").text)  # type: ignore[union-attr]
            except (AttributeError, TypeError, ValueError) as error:
                raise InvalidDataError(f"{path}: object[{index}]: has no name or no box of four numbers") from error
            facts.empty_boxes += box[2] <= box[0] or box[3] <= box[1]
            facts.objects[name] += 1
    return facts


def _check_facts(facts: DataFacts, classes: tuple[str, ...], warn: Callable[[str], None]) -> None:
    if not facts.images:
        raise InvalidDataError(f"{facts.source}: lists no image")
    if not facts.objects:
        raise InvalidDataError(f"{facts.source}: has no annotations; a detector needs objects to learn and to find")
    unknown = [name for name in facts.objects if name not in classes]
    known = sum(facts.objects[name] for name in classes)
    if not known:
        raise InvalidDataError(
            f"{facts.source}: no object is of the config's classes ({', '.join(classes)}); it has "
            f"{', '.join(facts.objects)}"
        )
    if unknown:
        left_out = sum(facts.objects[name] for name in unknown)
        warn(f"{facts.source}: {left_out} objects of classes that the config leaves out ({', '.join(unknown)})")
    if facts.empty_boxes:
        warn(f"{facts.source}: {facts.empty_boxes} boxes without area are left out")


def _check_head(config: Config, count: int, source: Path) -> None:
    for head in class_heads(config.model):
        if head["num_classes"] != count:
            raise InvalidConfigError(
                f"{config.filename}: the head has num_classes={head['num_classes']}, but {source} is read with {count} "
                "classes; set them to the same (--cfg-options classes=… sets both)"
            )
