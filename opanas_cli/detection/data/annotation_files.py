"""Annotation files: COCO's JSON, VOC's lists and XML, YOLO's text, opened only if regular and not too large."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from io import TextIOWrapper
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from opanas_cli.detection.data.nested_files import nested_files
from opanas_cli.detection.data.split_parts import Part, in_part
from opanas_cli.detection.data.yolo_files import yolo_pairs
from opanas_cli.errors import InvalidDataError
from opanas_cli.regular_files import open_regular, read_regular

IMAGES, ANNOTATIONS = "JPEGImages", "Annotations"
"""The folders of a VOC data set, unless its config names others."""

MAX_COCO, MAX_XML, MAX_SPLIT = 16 << 30, 64 << 20, 256 << 20
"""The largest files that are read, in bytes."""

MAX_NAME = 4096
"""Characters: no system has longer paths."""


def read_coco(path: Path) -> dict[str, Any]:
    """A COCO annotation file as a dict, not to be changed: it is kept until `forget_coco`.

    Raises InvalidDataError if it is missing or is not a JSON object.
    """
    try:
        status = path.stat()
        document = _parsed(path.resolve(), status.st_mtime_ns, status.st_size)
    except OSError as error:
        raise InvalidDataError(
            f"{path}: cannot be read ({error.strerror}); is data_root the folder of your data set?"
        ) from error
    except (ValueError, RecursionError) as error:
        raise InvalidDataError(f"{path}: is not valid JSON: {error}") from error
    if not isinstance(document, dict):
        raise InvalidDataError(f"{path}: must be a JSON object with images, annotations and categories")
    return document


def forget_coco() -> None:
    """Free the memory of the annotation files read so far: gigabytes for those of COCO."""
    _parsed.cache_clear()


@lru_cache(maxsize=2)
def _parsed(path: Path, modified: int, size: int) -> Any:
    """The content of a JSON file; the last two arguments distinguish it from what the file was before."""
    return json.loads(read_regular(path, MAX_COCO))


def is_voc(dataset: Any) -> bool:
    """Whether a data set config is of one XML file per image, and its `ann_file` lists the images."""
    return "VOC" in dataset["type"] or "XML" in dataset["type"]


def is_yolo(dataset: Any) -> bool:
    """Whether a data set config is of one text file per image, and its `ann_file` names the classes."""
    return bool(dataset["type"] == "YOLOFolder")


def annotation_files(dataset: Any) -> list[Path]:
    """The files with the annotations of the images of a data set config.

    Raises InvalidDataError if the list of images cannot be read, or a line of it is not a name.
    """
    source = source_of(dataset)
    if is_voc(dataset):
        lists = [] if source.is_dir() else [source]
        return [*lists, *(xml_folder(dataset) / f"{name}.xml" for name in listed_names(source, dataset.get("part")))]
    if is_yolo(dataset):
        return [source, *(label for _, label in yolo_pairs(dataset) if label.exists())]
    return [source]


def images_without_list(dataset: Any) -> list[str]:
    """The names of the images of a data set config, if no annotation file says alone which they are."""
    if is_yolo(dataset):
        # A label file enters by its content: it says nothing of the image that it is of.
        return [f"{name} {label.exists():d}" for name, label in yolo_pairs(dataset)]
    part, source = dataset.get("part"), source_of(dataset)
    if is_voc(dataset):
        return list(listed_names(source, part)) if part or source.is_dir() else []
    return [] if part is None else [str(part["name"]), *map(str, part["fractions"]), str(part["by"])]


def source_of(dataset: Any) -> Path:
    """The `ann_file` of a data set config."""
    return Path(dataset.get("data_root") or "", dataset["ann_file"])


def image_folder(dataset: Any) -> Path:
    """The folder from which the names of the images of a data set config are."""
    if is_voc(dataset):
        return _voc_root(dataset) / dataset.get("img_subdir", IMAGES)
    return Path(dataset.get("data_root") or "", (dataset.get("data_prefix") or {}).get("img") or "")


def xml_folder(dataset: Any) -> Path:
    """The folder of the XML files of a VOC data set config."""
    return _voc_root(dataset) / dataset.get("ann_subdir", ANNOTATIONS)


def _voc_root(dataset: Any) -> Path:
    return Path(dataset.get("data_root") or "", (dataset.get("data_prefix") or {}).get("sub_data_root", ""))


def voc_objects(dataset: Any) -> Iterator[tuple[str, ElementTree.Element | InvalidDataError]]:
    """The name of each image of a VOC data set config with its annotation's root element, or what is wrong with it.

    Raises InvalidDataError if the list of images cannot be read, or a line of it is not a name.
    """
    source, folder = source_of(dataset), xml_folder(dataset)
    for name in listed_names(source, dataset.get("part")):
        path = folder / f"{name}.xml"
        try:
            with open_regular(path, MAX_XML) as file:
                yield name, ElementTree.parse(file).getroot()
        except OSError as error:
            yield name, InvalidDataError(f"{path}: cannot be read ({error.strerror}); {source} lists it")
        except (ElementTree.ParseError, ValueError, LookupError) as error:
            yield name, InvalidDataError(f"{path}: is not valid XML: {error}")


def listed_names(source: Path, part: Part | None = None) -> Iterator[str]:
    """The names of the images of a part that a VOC split lists; or, if it is a folder, that have an XML file there."""
    names = (name[:-4] for name in nested_files(source, (".xml",))) if source.is_dir() else voc_names(source)
    return (name for name in names if in_part(name, part))


def voc_names(split: Path) -> list[str]:
    """The names of the images in a VOC split; raises InvalidDataError if it cannot be read or one is invalid."""
    try:
        with TextIOWrapper(open_regular(split, MAX_SPLIT), encoding="utf-8") as file:
            lines = iter(lambda: file.readline(MAX_NAME), "")
            names = [line.rstrip("\r\n") for line in lines]  # As mmdet does.
    except OSError as error:
        raise InvalidDataError(
            f"{split}: cannot be read ({error.strerror}); it must list the images of the split; is data_root right?"
        ) from error
    except UnicodeDecodeError as error:
        raise InvalidDataError(f"{split}: is not UTF-8 text; it must list images, one per line") from error
    for number, name in enumerate(names, 1):
        # mmdet takes each line as it is.
        if not name or name != name.strip() or len(name) == MAX_NAME:
            raise InvalidDataError(f"{split}: line {number}: must be just the name of an image, but got {name!r:.40}")
        require_inside(name, f"{split}: line {number}")
    return names


def require_inside(name: str, place: str) -> None:
    """Raise InvalidDataError, with the place, if the name of an image leads out of the data set."""
    if name.startswith("/") or ".." in Path(name).parts:
        raise InvalidDataError(f"{place}: {name!r:.60} is outside the data set; give a name in it")
