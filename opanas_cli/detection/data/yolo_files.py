"""YOLO's files: class names in YAML or lines of text, and for each image a text of boxes in fractions of its size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from io import TextIOWrapper
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from opanas_cli.detection.data.nested_files import SUFFIXES, nested_files
from opanas_cli.detection.data.split_parts import in_part
from opanas_cli.errors import InvalidDataError
from opanas_cli.regular_files import open_regular, read_regular

MAX_TEXT, MAX_LIST = 16 << 20, 1 << 30
"""The largest files that are read, in bytes."""

BEYOND = 0.01
"""By how much a fraction may be above 1 or below 0: programs round."""


def read_text(path: Path) -> str:
    """A text file; raises InvalidDataError if it cannot be read or is no UTF-8."""
    try:
        return read_regular(path, MAX_TEXT).decode("utf-8-sig")
    except OSError as error:
        raise InvalidDataError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise InvalidDataError(f"{path}: is not UTF-8 text") from error


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file whose values are all text, so that the classes ``no`` and ``007`` stay what they are.

    Raises InvalidDataError if it is not a mapping.
    """
    try:
        # Builds nothing but dicts, lists and texts.
        document = yaml.load(read_text(path), yaml.BaseLoader)
    except (yaml.YAMLError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise InvalidDataError(f"{path}: is not valid YAML: {reason:.200}") from error
    if not isinstance(document, dict):
        raise InvalidDataError(f"{path}: must have `names`, the list of the classes")
    return document


def class_names(path: Path) -> tuple[str, ...]:
    """The names of the classes in the order of their numbers: of a YAML file, or of a text with one in each line.

    Raises InvalidDataError if there are none, they are not numbered from 0, one is empty or given twice, or the labels
    are key points.
    """
    if path.suffix in (".yaml", ".yml"):
        document = read_yaml(path)
        names = document.get("names")
        if "kpt_shape" in document:
            raise InvalidDataError(f"{path}: has kpt_shape: key points are not read; export the labels as boxes")
        if isinstance(names, Mapping):
            names = [names.get(str(index)) for index in range(len(names))]
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise InvalidDataError(f"{path}: names must be a list of the classes, or number them from 0")
        if document.get("nc", str(len(names))) != str(len(names)):
            raise InvalidDataError(f"{path}: nc is {document['nc']}, but there are {len(names)} names; correct one")
    else:
        names = read_text(path).rstrip().splitlines()
    stripped = tuple(name.strip() for name in names)
    if not stripped or "" in stripped or len(set(stripped)) < len(stripped):
        raise InvalidDataError(f"{path}: must name each class once, but got {', '.join(map(repr, stripped)):.200}")
    return stripped


def yolo_pairs(dataset: Any) -> Iterator[tuple[str, Path]]:
    """The name of each image of a YOLO data set config, from its image folder on, and the path of its label file.

    Raises InvalidDataError if the folder or the list of images cannot be read, or the list leads out of the folder.
    """
    root, prefix = Path(dataset.get("data_root") or ""), dataset["data_prefix"]
    images, labels = root / prefix["img"], root / prefix["ann"]
    listed = dataset.get("images")
    try:
        names = nested_files(images, SUFFIXES) if not listed else _listed(root / listed, images)
        for name in names:
            if in_part(name, dataset.get("part")):
                yield name, (labels / name).with_suffix(".txt")
    except OSError as error:
        raise InvalidDataError(f"{images}: cannot be read ({error.strerror})") from error


def _listed(path: Path, images: Path) -> Iterator[str]:
    """The names in a list of paths, each of which has that of the image folder somewhere in it."""
    with TextIOWrapper(open_regular(path, MAX_LIST), encoding="utf-8", errors="surrogateescape") as file:
        for number, line in enumerate(file, 1):
            text = line.strip()
            _, found, name = f"/{text}".partition(f"/{images.name}/")
            if text and (not found or name.startswith("/") or ".." in PurePosixPath(name).parts):
                raise InvalidDataError(f"{path}: line {number}: {text!r:.60} is not in {images}; list paths in it")
            if text:
                yield name


def yolo_boxes(path: Path, names: Sequence[str]) -> list[tuple[str, tuple[float, float, float, float]]]:
    """The class and the box of each line of a label file: left, top, right and bottom as fractions of the image.

    A line is ``class x y width height`` with the box's centre, or ``class x1 y1 x2 y2 x3 y3 …``, a polygon, whose
    bounds are taken. A file that does not exist or is empty says that the image shows nothing. Raises InvalidDataError
    if a line is neither, or its class has no name.
    """
    if not path.exists():
        return []
    boxes = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        words = line.split()
        if not words:
            continue
        place = f"{path}: line {number}"
        try:
            label, values = float(words[0]), [float(word) for word in words[1:]]
        except ValueError as error:
            raise InvalidDataError(f"{place}: must be numbers, but got {line!r:.60}") from error
        if len(values) != 4 and (len(values) < 6 or len(values) % 2):
            raise InvalidDataError(f"{place}: must be class, x, y, width and height, but got {line!r:.60}")
        if not label.is_integer() or not 0 <= label < len(names):
            raise InvalidDataError(f"{place}: class {words[0]:.20} has no name; there are {len(names)}, from 0 on")
        if not all(-BEYOND <= value <= 1 + BEYOND for value in values):
            raise InvalidDataError(f"{place}: must be fractions of the image from 0 to 1, but got {line!r:.60}")
        boxes.append((names[int(label)], _bounds(values)))
    return boxes


def _bounds(values: Sequence[float]) -> tuple[float, float, float, float]:
    if len(values) == 4:
        x, y, width, height = values
        return x - width / 2, y - height / 2, x + width / 2, y + height / 2
    return min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2])
