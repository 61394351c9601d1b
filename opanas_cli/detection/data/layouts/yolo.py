"""Folders in YOLO's layout, with data.yaml, as Ultralytics, Roboflow and CVAT write it, or a text of class names."""

from __future__ import annotations

from contextlib import suppress
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

from opanas_cli.detection.data.layouts.folders import (
    ANNOTATION_FOLDERS,
    IMAGE_FOLDERS,
    SPLIT_NAMES,
    Sources,
    folders_in,
    known,
    pairs_of_folders,
)
from opanas_cli.detection.data.yolo_files import class_names, read_yaml, yolo_pairs
from opanas_cli.errors import InvalidDataError

CLASS_FILES = ("classes.txt", "obj.names", "_darknet.labels", "predefined_classes.txt")
"""Texts with a class in each line: Ultralytics', CVAT's, Roboflow's and labelImg's."""

LOOKED_AT = 10_000
"""How many images are tried to find a label file."""


def yolo_sources(root: Path) -> Sources:
    """Label files in ``labels/`` for the images in ``images/``, or beside them; and a file that names the classes.

    Raises InvalidDataError if there is none, or several YAML files do.
    """
    path = _yaml_file(root)
    sources = _named_sources(root, path) if path else {}
    found = {} if sources else pairs_of_folders(root, lambda own, images: _has_label(root, own, images))
    for split, (own, images) in found.items():
        names = (path or _class_file(root, (own, images))).relative_to(root)
        sources[split] = dict(type="YOLOFolder", ann_file=names.as_posix(), data_prefix=dict(img=images, ann=own))
    for source in sources.values():
        class_names(root / source["ann_file"])
    return sources


def _yaml_file(root: Path) -> Path | None:
    paths = [path for path in sorted(root.glob("*.y*ml")) if path.suffix in (".yaml", ".yml") and _names_classes(path)]
    if len(paths) > 1:
        raise InvalidDataError(f"{paths[1]}: names classes, but so does {paths[0].name}; leave one of them")
    return paths[0] if paths else None


def _names_classes(path: Path) -> bool:
    with suppress(InvalidDataError):
        return "names" in read_yaml(path)
    return False


def _class_file(root: Path, folders: tuple[str, ...]) -> Path:
    for folder in (root, *(root / folder for folder in folders)):
        for name in CLASS_FILES:
            if (folder / name).is_file():
                return folder / name
    raise InvalidDataError(
        f"{root / folders[0]}: has labels in YOLO's form, but nothing names their classes; add data.yaml, or "
        f"{root / CLASS_FILES[0]} with a name in each line"
    )


def _named_sources(root: Path, path: Path) -> Sources:
    """The folders or the lists of images that data.yaml names, unless those to train on are not in the data set."""
    sources: Sources = {}
    for key, value in read_yaml(path).items():
        split = next((split for split, names in SPLIT_NAMES.items() if key in names), None)
        if split is None or not value:
            continue
        if not isinstance(value, str):
            raise InvalidDataError(f"{path}: {key} must be one folder of images, or one list of them")
        if images := _within(root, value):
            sources[split] = dict(type="YOLOFolder", ann_file=path.name, **_prefixes(root, images))
    if "train" not in sources:
        return {}
    # Many such files name the training images for want of others: that is no split to test on.
    return {split: source for split, source in sources.items() if split == "train" or source != sources["train"]}


def _within(root: Path, named: str) -> str | None:
    """The end of a path that there is in `root`: such files hold paths of other machines, and ``../`` in vain."""
    parts = [part for part in PurePosixPath(named).parts if part not in ("..", "/")]
    ends = (PurePosixPath(*parts[first:]).as_posix() for first in range(len(parts)))
    return next((end for end in ends if (root / end).exists()), None)


def _prefixes(root: Path, images: str) -> dict[str, Any]:
    listed = {"images": images} if (root / images).is_file() else {}
    if listed:
        images = next(known(IMAGE_FOLDERS, folders_in(root)), "")
        if not images:
            raise InvalidDataError(f"{root / listed['images']}: lists images, but {root / 'images'} is missing")
    return dict(data_prefix=dict(img=images, ann=_labels_for(root, images)), **listed)


def _labels_for(root: Path, images: str) -> str:
    """The folder beside, with the last ``images`` in its path replaced; else that of the images."""
    parts = PurePosixPath(images).parts
    for place in reversed(range(len(parts))):
        if parts[place].lower() in IMAGE_FOLDERS:
            beside = folders_in(root.joinpath(*parts[:place]))
            for name in known(ANNOTATION_FOLDERS, beside):
                labels = PurePosixPath(*parts[:place], name, *parts[place + 1 :]).as_posix()
                if (root / labels).is_dir():
                    return labels
    return images


def _has_label(root: Path, own: str, images: str) -> bool:
    pairs = yolo_pairs(dict(data_root=root, data_prefix=dict(img=images, ann=own)))
    return any(label.is_file() for _, label in islice(pairs, LOOKED_AT))
