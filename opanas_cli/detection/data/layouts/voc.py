"""Folders with one XML file of VOC's form for each image: VOC's own, labelImg's, Roboflow's and CVAT's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from opanas_cli.detection.data.annotation_files import ANNOTATIONS
from opanas_cli.detection.data.layouts.folders import SPLIT_NAMES, WHOLE, Sources, pairs_of_folders
from opanas_cli.detection.data.nested_files import nested_files
from opanas_cli.detection.data.voc_folder import ImagesByStem

LISTS = Path("ImageSets", "Main")
# mmdet joins sub_data_root to data_root; "." keeps the root itself.
COMMON: Mapping[str, Any] = dict(type="VOCFolder", data_prefix=dict(sub_data_root="."))

WHOLE_LISTS = ("trainval", "default", "all")
"""The lists of images that are not split, in small letters; CVAT writes `default`."""

LOOKED_AT = 100
"""How many XML files are tried to find the folder of their images."""


def listed_xml_sources(root: Path) -> Sources:
    """``Annotations/``, ``JPEGImages/`` and lists of images in ``ImageSets/Main/``."""
    if not ((root / LISTS).is_dir() and (root / ANNOTATIONS).is_dir()):
        return {}
    found = {path.stem.lower(): path for path in sorted((root / LISTS).glob("*.txt"))}
    lists = {split: found[name] for split, names in SPLIT_NAMES.items() for name in names[::-1] if name in found}
    if "train" not in lists and (whole := next(filter(found.get, WHOLE_LISTS), None)):
        lists["train" if lists else WHOLE] = found[whole]
    return {split: {**COMMON, "ann_file": path.relative_to(root).as_posix()} for split, path in lists.items()}


def xml_sources(root: Path) -> Sources:
    """XML files in folders of any known names, or beside the images."""
    found = pairs_of_folders(root, lambda own, images: _has_images(root, own, images))
    return {
        split: {**COMMON, "ann_file": own, "ann_subdir": own, "img_subdir": images}
        for split, (own, images) in found.items()
    }


def _has_images(root: Path, annotations: str, images: str) -> bool:
    """Whether one of the first XML files of a folder belongs to an image of another."""
    found = ImagesByStem(root / images)
    return any((root / images / found[name]).is_file() for name in _first_names(root / annotations))


def _first_names(folder: Path) -> Iterator[str]:
    return (name.removesuffix(".xml") for name in islice(nested_files(folder, (".xml",)), LOOKED_AT))
