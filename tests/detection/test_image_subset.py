"""The splits of a training set."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mmengine.registry import DefaultScope

from opanas_cli.detection.image_subset import ImageSubset, image_number
from opanas_cli.errors import InvalidDataError


class Names:
    """A data set of nothing but image paths."""

    metainfo = {"classes": ("thing",)}  # noqa: RUF012

    def __init__(self, count: int, prefix: str = "images/") -> None:
        self.paths = [f"{prefix}{index:05d}.jpg" for index in range(count)]

    def full_init(self) -> None:
        """Nothing to read."""

    def __len__(self) -> int:
        return len(self.paths)

    def get_data_info(self, index: int) -> dict[str, Any]:
        return {"img_path": self.paths[index], "index": index}

    def get_cat_ids(self, index: int) -> list[int]:
        return [index]

    def __getitem__(self, index: int) -> str:
        return self.paths[index]


def names(part: str, split: float, count: int = 500, **options: Any) -> list[str]:
    subset = ImageSubset(Names(count), part, split, **options)  # type: ignore[arg-type]
    return [subset[index] for index in range(len(subset))]


@pytest.mark.parametrize("split", [0.1, 0.3, 0.77])
def test_the_parts_never_meet_and_miss_nothing(split: float) -> None:
    train, search = names("train", split), names("search", split)
    assert not set(train) & set(search)
    assert sorted(train + search) == Names(500).paths
    assert len(search) / 500 == pytest.approx(split, abs=0.06)


def test_a_smaller_split_is_part_of_a_larger_one() -> None:
    assert set(names("search", 0.1)) < set(names("search", 0.2)) < set(names("search", 0.5))


def test_the_parts_never_meet_when_less_is_searched_than_was_held_out() -> None:
    assert not set(names("search", 0.05)) & set(names("train", 0.2, data_fraction=0.5))


def test_a_fraction_of_the_data_is_part_of_more() -> None:
    assert set(names("train", 0.2, data_fraction=0.25)) < set(names("train", 0.2, data_fraction=0.5))
    assert len(names("train", 0.2, data_fraction=0.25)) == pytest.approx(0.2 * 500, abs=25)


def test_added_images_move_no_other() -> None:
    assert set(names("search", 0.2, count=300)) <= set(names("search", 0.2, count=500))


def test_max_images_are_the_first_by_number_in_the_order_of_the_data() -> None:
    chosen = names("search", 0.5, max_images=7)
    assert len(chosen) == 7
    assert chosen == sorted(chosen)
    assert set(chosen) <= set(names("search", 0.5, max_images=20))
    assert names("search", 0.1, max_images=10_000) == names("search", 0.1)


def test_the_folder_does_not_matter() -> None:
    elsewhere = ImageSubset(Names(200, "/other/place/"), "search", 0.3)  # type: ignore[arg-type]
    here = ImageSubset(Names(200), "search", 0.3)  # type: ignore[arg-type]
    assert elsewhere.indices == here.indices


def test_numbers_are_the_same_in_every_process() -> None:
    code = "import hashlib;print(int.from_bytes(hashlib.sha256(b'cat.jpg').digest()[:8],'big')/2**64)"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert image_number("a/cat.jpg") == image_number("cat.jpg") == float(other)
    assert 0 <= image_number("") < 1


def test_what_it_tells_is_that_of_the_chosen_images() -> None:
    subset = ImageSubset(Names(50), "search", 0.3)  # type: ignore[arg-type]
    for position, index in enumerate(subset.indices):
        assert subset.get_data_info(position)["index"] == index
        assert subset.get_cat_ids(position) == [index]
    assert subset.metainfo == {"classes": ("thing",)}


def test_an_empty_part() -> None:
    with pytest.raises(InvalidDataError, match="the search part of 20 training images is empty at search_split=0"):
        names("search", 0.0, count=20)
    with pytest.raises(ValueError, match="part must be one of"):
        names("test", 0.5)


def coco(shapes_root: Path, **options: Any) -> dict[str, Any]:
    return dict(
        type="CocoDataset",
        data_root=str(shapes_root),
        ann_file="annotations/train.json",
        data_prefix=dict(img="train/"),
        metainfo=dict(classes=("disk", "square", "triangle")),
        pipeline=[],
        **options,
    )


@pytest.fixture
def mmdet_scope() -> Iterator[None]:
    """Where wrappers look for what they wrap."""
    with DefaultScope.overwrite_default_scope("mmdet"):
        yield


def paths(subset: ImageSubset) -> list[str]:
    return [subset.get_data_info(index)["img_path"] for index in range(len(subset))]


def test_train_and_test_mode_choose_the_same_images(shapes_root: Path) -> None:
    trained = ImageSubset(coco(shapes_root), "search", 0.5)
    tested = ImageSubset(coco(shapes_root, test_mode=True), "search", 0.5)
    assert paths(trained) == paths(tested)


def test_data_sets_in_wrappers(shapes_root: Path, mmdet_scope: None) -> None:
    one = set(paths(ImageSubset(coco(shapes_root), "search", 0.5)))
    both = dict(type="ConcatDataset", datasets=[coco(shapes_root), coco(shapes_root)])
    twice = paths(ImageSubset(both, "search", 0.5))
    assert set(twice) == one
    assert len(twice) == 2 * len(one)
    repeated = dict(type="RepeatDataset", times=3, dataset=coco(shapes_root))
    assert len(paths(ImageSubset(repeated, "search", 0.5))) == 3 * len(one)
    assert not one & set(paths(ImageSubset(repeated, "train", 0.5)))
