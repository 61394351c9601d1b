"""Splits of a training set by image, the same on every machine and for every pipeline."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import PurePath
from typing import Any

from mmdet.registry import DATASETS
from mmengine.dataset import BaseDataset

from opanas_cli.errors import InvalidConfigError, InvalidDataError

PARTS = ("train", "search")

COPY = re.compile(r"\.rf\.[0-9A-Za-z]{16,}(?=\.|$)")


def image_subset(
    dataset: dict[str, Any],
    part: str,
    search_split: float,
    data_fraction: float = 1.0,
    max_images: int | None = None,
    split_by: str = "file",
) -> Any:
    """Build a data set with the images that are trained on, or with those that are held out for the search.

    Each image's name, or its folder's, is hashed to a number in [0, 1): the images below `search_split` are held out,
    and of the rest the first `data_fraction` is trained on. So the parts never overlap, a smaller split is part of a
    larger one, and an added image moves no other. The parts have the requested size on average.

    The innermost data sets are cut before what wraps them is built. So whatever draws another image, as mmengine does
    if a pipeline gives None and as mosaics do, draws it from the part. Raises InvalidConfigError if a data set is not
    one of mmengine's, or lacks the `data_root` that its folders are named from; InvalidDataError if no image is left.

    Args:
        dataset: the config of a data set, or of one that wraps others.
        part: ``train`` or ``search``.
        search_split: the fraction held out for the search, in [0, 1]; at 1, all images are searched on.
        data_fraction: the fraction of the remaining images that is trained on, in (0, 1].
        max_images: at most so many images, those whose file names have the lowest numbers.
        split_by: ``folder`` keeps the images of a folder together, since the frames of a video are much alike.
    """
    if part not in PARTS:
        raise ValueError(f"part must be one of {PARTS}, but got {part!r}")
    innermost: list[BaseDataset] = []
    built = _with_innermost_built(dataset, innermost)
    last = search_split if part == "search" else search_split + (1 - search_split) * data_fraction
    first = 0.0 if part == "search" else search_split
    paths = [list(image_paths(inner)) for inner in innermost]
    names = [part_names(own, inner.data_root, split_by) for own, inner in zip(paths, innermost, strict=True)]
    all_paths, all_names = list(chain(*paths)), list(chain(*names))
    chosen = images_between(all_paths, all_names, first, last, max_images)
    if not chosen:
        raise InvalidDataError(
            f"the {part} part of {len(all_paths)} training images is empty at search_split={search_split}, "
            f"data_fraction={data_fraction} and split_by={split_by} ({len(set(all_names))} distinct names); change "
            "these settings or add images"
        )
    before = 0
    for inner in innermost:
        after = before + len(inner)
        inner.get_subset_([index - before for index in chosen if before <= index < after])
        before = after
    return DATASETS.build(built) if isinstance(built, dict) else built


def _with_innermost_built(dataset: Any, innermost: list[BaseDataset]) -> Any:
    """The config of a data set with the innermost ones in it built; they are added to a list."""
    if "dataset" in dataset:
        return {**dataset, "dataset": _with_innermost_built(dataset["dataset"], innermost)}
    if "datasets" in dataset:
        return {**dataset, "datasets": [_with_innermost_built(inner, innermost) for inner in dataset["datasets"]]}
    built = DATASETS.build(dataset)
    if not isinstance(built, BaseDataset):
        raise InvalidConfigError(
            f"{dataset['type']}: is not an mmengine BaseDataset, which is needed to hold images out"
        )
    built.full_init()
    innermost.append(built)
    return built


def image_paths(dataset: Any) -> Iterator[str]:
    """The path of each image of a data set."""
    for index in range(len(dataset)):
        yield dataset.get_data_info(index)["img_path"]


def part_names(paths: Sequence[str], data_root: str | None, split_by: str) -> list[str]:
    """What decides the part of each image of a data set: its file name, or its folder's path from `data_root` on.

    Raises InvalidConfigError if there is no `data_root`.
    """
    if split_by == "file":
        # However one image is listed twice, it is in one part.
        return [name_of_original(PurePath(path).name) for path in paths]
    if not data_root:
        raise InvalidConfigError("supernet.split_by=folder: folders are named from data_root on; set data_root")
    return [PurePath(os.path.relpath(PurePath(path).parent, data_root)).as_posix() for path in paths]


def name_of_original(name: str) -> str:
    """The name of an image without what Roboflow adds to each copy of it that it has changed."""
    return COPY.sub("", name)


def images_between(
    paths: Sequence[str], names: Sequence[str], first: float, last: float, max_images: int | None = None
) -> list[int]:
    """The indices of the images whose `part_names` have numbers in [first, last).

    At most `max_images`, those whose file names have the lowest numbers.
    """
    inside = [index for index, name in enumerate(names) if first <= number_of(name) < last]
    return [inside[place] for place in lowest([paths[index] for index in inside], max_images)]


def lowest(paths: Sequence[str], count: int | None) -> list[int]:
    """The indices, ascending, of the images whose file names have the lowest numbers; None for all."""
    return sorted(sorted(range(len(paths)), key=lambda index: number_of(PurePath(paths[index]).name))[:count])


def number_of(name: str) -> float:
    """A number in [0, 1) that depends on a name alone."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64
