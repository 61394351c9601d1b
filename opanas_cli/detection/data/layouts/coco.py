"""Folders with annotations in COCO's JSON: COCO's own, Roboflow's, CVAT's, or one file alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

from opanas_cli.detection.data.annotation_files import read_coco
from opanas_cli.detection.data.layouts.folders import (
    ANNOTATION_FOLDERS,
    IMAGE_FOLDERS,
    SPLIT_NAMES,
    WHOLE,
    Sources,
    folders_in,
    known,
)
from opanas_cli.errors import InvalidDataError
from opanas_cli.regular_files import require_regular

FILES = (
    "annotations/{split}.json",
    "annotations/instances_{split}.json",
    "annotations/instances_{split}2017.json",
    "{split}/_annotations.coco.json",
)
"""The usual names; beside them there may be files of captions and of key points."""

MOST_FILES = 20
"""Where a folder has more JSON files, each is of one image."""


def coco_sources(root: Path) -> Sources:
    """COCO files of the usual names, or else of any name, and the folders of their images."""
    usual = {split: file for split in SPLIT_NAMES if (file := next(_usual_files(root, split), None))}
    return {split: _source(root, file, split) for split, file in (usual or _other_files(root)).items()}


def _usual_files(root: Path, split: str) -> Iterator[str]:
    files = (pattern.format(split=name) for name in SPLIT_NAMES[split] for pattern in FILES)
    return (file for file in files if (root / file).is_file())


def _other_files(root: Path) -> dict[str, str]:
    names = [*ANNOTATION_FOLDERS, *(name for names in SPLIT_NAMES.values() for name in names)]
    folders = [root, *(root / name for name in known(names, folders_in(root)))]
    paths = [path for folder in folders for path in sorted(islice(folder.glob("*.json"), MOST_FILES + 1))]
    if len(paths) > MOST_FILES:
        return {}
    found: dict[str, str] = {}
    for file in (path.relative_to(root).as_posix() for path in paths if _is_coco(path)):
        split = _split_in(file)
        if split in found:
            raise InvalidDataError(
                f"{root}: has two COCO files for {split or 'all images'}, {found[split]} and {file}; leave one, or "
                "name them train.json, val.json and test.json"
            )
        found[split] = file
    return found


def _is_coco(path: Path) -> bool:
    with suppress(InvalidDataError):
        return {"images", "annotations", "categories"} <= set(read_coco(path))
    return False


def _split_in(file: str) -> str:
    words = set(re.split("[^a-z]+", file.lower()))
    return next((split for split, names in SPLIT_NAMES.items() if words & set(names)), WHOLE)


def _source(root: Path, ann_file: str, split: str) -> dict[str, Any]:
    images = read_coco(root / ann_file).get("images")
    first = images[0] if isinstance(images, list) and images else None
    if not isinstance(first, dict) or not isinstance(first.get("file_name"), str):
        raise InvalidDataError(f"{root / ann_file}: must list 'images', each with a file_name")
    name, folders = first["file_name"], _image_folders(root, ann_file, split)
    for folder in folders:
        with suppress(OSError):
            require_regular(root / folder / name)
            return dict(type="CocoDataset", ann_file=ann_file, data_prefix=dict(img=folder))
    places = ", ".join(str(root / folder) for folder in folders)
    raise InvalidDataError(f"{root / ann_file}: its first image '{name}' is in none of {places}")


def _image_folders(root: Path, ann_file: str, split: str) -> list[str]:
    """Where the images of a file may be, the surest first: in a folder of the split, of images, beside it, anywhere."""
    names = [form for name in SPLIT_NAMES.get(split, ("default",)) for form in (name, f"{name}2017")]
    top = folders_in(root)
    own, pictures, beside = list(known(names, top)), list(known(IMAGE_FOLDERS, top)), PurePosixPath(ann_file).parent
    below = [f"{folder}/{name}" for folder in pictures for name in known(names, folders_in(root / folder))]
    inner = [f"{folder}/{name}" for folder in (*own, beside) for name in folders_in(root / folder).values()]
    found = [*own, *below, *pictures, "", beside.as_posix().removeprefix("."), *inner]
    return list(dict.fromkeys(found))
