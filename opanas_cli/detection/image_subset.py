"""Splits of a training set by image, the same on every machine and for every pipeline."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import Any

from mmdet.registry import DATASETS
from mmengine.dataset import BaseDataset

from opanas_cli.errors import InvalidConfigError, InvalidDataError

PARTS = ("train", "search")


def image_subset(
    dataset: dict[str, Any],
    part: str,
    search_split: float,
    data_fraction: float = 1.0,
    max_images: int | None = None,
) -> Any:
    """Build a data set with the images that are trained on, or with those that are held out for the search.

    Each image's name is hashed to a number in [0, 1): the images below `search_split` are held out, and of the rest
    the first `data_fraction` is trained on. So the parts never meet, a smaller split is a subset of a larger one, and
    an added image moves no other. The parts have the asked size on average.

    The innermost data sets are cut before what wraps them is built. So whatever draws another image, as mmengine does
    if a pipeline gives None and as mosaics do, draws it from the part.

    Args:
        dataset: the config of a data set, or of one that wraps others.
        part: ``train`` or ``search``.
        search_split: the fraction held out for the search, in [0, 1]; of 1, all images are searched on.
        data_fraction: the fraction of the remaining images that is trained on, in (0, 1].
        max_images: at most so many images, those of the lowest numbers.

    Raises:
        InvalidConfigError: a data set is none of mmengine's.
        InvalidDataError: no image is left.
    """
    if part not in PARTS:
        raise ValueError(f"part must be one of {PARTS}, but got {part!r}")
    innermost: list[BaseDataset] = []
    built = _with_innermost_built(dataset, innermost)
    last = search_split if part == "search" else search_split + (1 - search_split) * data_fraction
    first = 0.0 if part == "search" else search_split
    paths = [path for inner in innermost for path in image_paths(inner)]
    chosen = images_between(paths, first, last, max_images)
    if not chosen:
        raise InvalidDataError(
            f"the {part} part of {len(paths)} training images is empty at search_split={search_split} and "
            f"data_fraction={data_fraction}; choose other fractions or add images"
        )
    before = 0
    for inner in innermost:
        after = before + len(inner)
        inner.get_subset_([index - before for index in chosen if before <= index < after])
        before = after
    return DATASETS.build(built) if isinstance(built, dict) else built


def _with_innermost_built(dataset: Any, innermost: list[BaseDataset]) -> Any:
    """The config of a data set with the innermost ones built in it; they are added to a list."""
    if "dataset" in dataset:
        return {**dataset, "dataset": _with_innermost_built(dataset["dataset"], innermost)}
    if "datasets" in dataset:
        return {**dataset, "datasets": [_with_innermost_built(inner, innermost) for inner in dataset["datasets"]]}
    built = DATASETS.build(dataset)
    if not isinstance(built, BaseDataset):
        raise InvalidConfigError(f"{dataset['type']}: is no mmengine BaseDataset, which is needed to hold images out")
    built.full_init()
    innermost.append(built)
    return built


def image_paths(dataset: Any) -> Iterator[str]:
    """The path of each image of a data set."""
    for index in range(len(dataset)):
        yield dataset.get_data_info(index)["img_path"]


def images_between(paths: Sequence[str], first: float, last: float, max_images: int | None = None) -> list[int]:
    """The indices of the images with numbers in [first, last): at most `max_images`, those of the lowest numbers."""
    numbers = [image_number(path) for path in paths]
    chosen = sorted((number, index) for index, number in enumerate(numbers) if first <= number < last)
    return sorted(index for _, index in chosen[:max_images])


def image_number(path: str) -> float:
    """A number in [0, 1) that depends on nothing but the image's file name."""
    digest = hashlib.sha256(PurePath(path).name.encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
