"""Splits of a training set by image, the same on every machine and for every pipeline."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from mmdet.registry import DATASETS
from mmengine.dataset import BaseDataset

from opanas_cli.errors import InvalidDataError

PARTS = ("train", "search")


class ImageSubset:
    """The part of a data set that is trained on, or the part that is held out for the search.

    Each image's name is hashed to a number in [0, 1): the images below `search_split` are held out, and of the rest
    the first `data_fraction` is trained on. So the parts never meet, a smaller split is a subset of a larger one, and
    an added image moves no other. The parts have the asked size on average.

    Args:
        dataset: the data set, or its config.
        part: ``train`` or ``search``.
        search_split: the fraction held out for the search, in [0, 1]; of 1, all images are searched on.
        data_fraction: the fraction of the remaining images that is trained on, in (0, 1].
        max_images: at most so many images, those of the lowest numbers.

    Raises:
        InvalidDataError: no image is left.
    """

    def __init__(
        self,
        dataset: BaseDataset | dict[str, Any],
        part: str,
        search_split: float,
        data_fraction: float = 1.0,
        max_images: int | None = None,
    ) -> None:
        if part not in PARTS:
            raise ValueError(f"part must be one of {PARTS}, but got {part!r}")
        self.dataset = DATASETS.build(dataset) if isinstance(dataset, dict) else dataset
        self.dataset.full_init()
        last = search_split if part == "search" else search_split + (1 - search_split) * data_fraction
        first = 0.0 if part == "search" else search_split
        self._paths = [info["img_path"] for info in self._infos()]
        self.indices = images_between(self._paths, first, last, max_images)
        if not self.indices:
            raise InvalidDataError(
                f"the {part} part of {len(self.dataset)} training images is empty at search_split={search_split} and "
                f"data_fraction={data_fraction}; choose other fractions or add images"
            )

    @property
    def metainfo(self) -> dict[str, Any]:
        """That of the whole data set, the classes among it."""
        meta: dict[str, Any] = self.dataset.metainfo
        return meta

    def full_init(self) -> None:
        """Nothing is left to do: the data set is read when it is built."""

    def get_data_info(self, index: int) -> dict[str, Any]:
        """The annotation of one image."""
        info: dict[str, Any] = self.dataset.get_data_info(self.indices[index])
        return info

    def get_cat_ids(self, index: int) -> list[int]:
        """The labels of one image's objects."""
        labels: list[int] = self.dataset.get_cat_ids(self.indices[index])
        return labels

    def __getitem__(self, index: int) -> Any:
        return self.dataset[self.indices[index]]

    def __len__(self) -> int:
        return len(self.indices)

    def lowest(self, count: int) -> list[int]:
        """The positions of the `count` images of the lowest numbers, ascending."""
        return images_between([self._paths[index] for index in self.indices], 0.0, 1.0, count)

    def _infos(self) -> list[dict[str, Any]]:
        return [self.dataset.get_data_info(index) for index in range(len(self.dataset))]


def images_between(paths: Sequence[str], first: float, last: float, max_images: int | None = None) -> list[int]:
    """The indices of the images with numbers in [first, last): at most `max_images`, those of the lowest numbers."""
    numbers = [image_number(path) for path in paths]
    chosen = sorted((number, index) for index, number in enumerate(numbers) if first <= number < last)
    return sorted(index for _, index in chosen[:max_images])


def image_number(path: str) -> float:
    """A number in [0, 1) that depends on nothing but the image's file name."""
    digest = hashlib.sha256(PurePath(path).name.encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
