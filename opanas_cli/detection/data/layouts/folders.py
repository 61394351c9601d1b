"""The names that folders of images, of annotations and of splits have, and where they are found."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

Sources = dict[str, dict[str, Any]]
"""Data set configs without `data_root`, by split; under `WHOLE` what is not split."""

WHOLE = ""

SPLIT_NAMES = {
    "train": ("train", "training", "obj_train_data"),
    "val": ("val", "valid", "validation", "obj_val_data", "obj_valid_data", "obj_validation_data"),
    "test": ("test", "testing", "obj_test_data"),
}
"""What people and programs call the splits, in small letters; CVAT those of YOLO by `obj_`."""

IMAGE_FOLDERS = ("images", "image", "imgs", "img", "jpegimages", "data", "photos", "pictures", "frames")
ANNOTATION_FOLDERS = ("annotations", "annotation", "labels", "label", "xml", "xmls")


def folders_in(path: Path) -> dict[str, str]:
    """The names of the folders directly in one, by those in small letters; none if it does not exist."""
    if not path.is_dir():
        return {}
    with os.scandir(path) as entries:
        names = sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    return {name.lower(): name for name in names}


def known(names: Iterable[str], found: dict[str, str]) -> Iterator[str]:
    """Those of some names in small letters that are found, as they are spelt."""
    return (found[name] for name in names if name in found)


def pairs_of_folders(root: Path, fit: Callable[[str, str], bool]) -> dict[str, tuple[str, str]]:
    """The folders, from `root` on, of the annotations and of the images of each split; or of `WHOLE`, if none is found.

    Args:
        fit: whether the first of two folders has annotations of images in the second.
    """
    found: dict[str, tuple[str, str]] = {}
    for split, annotations_in, images_in in _guesses(root):
        if split not in found and not (split == WHOLE and found) and fit(annotations_in, images_in):
            found[split] = annotations_in, images_in
    return found


def _guesses(root: Path) -> Iterator[tuple[str, str, str]]:
    """Where the annotations and the images of each split may be, the surest first.

    Splits have folders of their own, with both in one or apart, or they divide the folders of the annotations and of
    the images.
    """
    top = folders_in(root)
    for split, names in SPLIT_NAMES.items():
        for own in known(names, top):
            yield from ((split, *pair) for pair in _pairs_in(root, own))
        for above in known(ANNOTATION_FOLDERS, top):
            for own in known(names, folders_in(root / above)):
                below = [f"{images}/{own}" for images in known(IMAGE_FOLDERS, top)]
                yield from ((split, f"{above}/{own}", images) for images in below if (root / images).is_dir())
    yield from ((WHOLE, *pair) for pair in _pairs_in(root, "."))


def _pairs_in(root: Path, folder: str) -> Iterator[tuple[str, str]]:
    inside = folders_in(root / folder)
    apart = [*known(ANNOTATION_FOLDERS, inside), "."]
    images = [*known(IMAGE_FOLDERS, inside), "."]
    pairs = [(own, other) for own in apart for other in images if (own, other) != (".", ".")]
    for pair in (*pairs, *((own, own) for own in (".", *apart[:-1], *images[:-1]))):
        yield Path(folder, pair[0]).as_posix(), Path(folder, pair[1]).as_posix()
