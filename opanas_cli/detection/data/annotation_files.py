"""Annotation files: COCO's JSON, VOC's split lists and XML, opened only if regular and not too large."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from io import TextIOWrapper
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from opanas_cli.errors import InvalidDataError
from opanas_cli.regular_files import open_regular, read_regular

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


def annotation_files(dataset: Any) -> list[Path]:
    """The files with the annotations of the images of a data set config.

    Raises InvalidDataError if the list of images cannot be read, or a line of it is not a name.
    """
    root = Path(dataset.get("data_root") or "")
    source = root / dataset["ann_file"]
    if not is_voc(dataset):
        return [source]
    folder = root / (dataset.get("data_prefix") or {}).get("sub_data_root", "")
    return [source, *(_voc_annotation(folder, name) for name in voc_names(source))]


def _voc_annotation(folder: Path, name: str) -> Path:
    return folder / "Annotations" / f"{name}.xml"


def voc_objects(root: Path, split: Path) -> Iterator[tuple[Path, ElementTree.Element]]:
    """Each image's annotation file with its root element, in the order of the file `split` that lists the images.

    Raises InvalidDataError if a file is missing, an annotation is not XML, or a line of the split is not a name.
    """
    for name in voc_names(split):
        path = _voc_annotation(root, name)
        try:
            with open_regular(path, MAX_XML) as file:
                tree = ElementTree.parse(file)
        except OSError as error:
            raise InvalidDataError(f"{path}: cannot be read ({error.strerror}); {split} lists it") from error
        except (ElementTree.ParseError, ValueError, LookupError) as error:
            raise InvalidDataError(f"{path}: is not valid XML: {error}") from error
        yield path, tree.getroot()


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
