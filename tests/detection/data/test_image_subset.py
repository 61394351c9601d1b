"""The splits of a training set."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from mmdet.registry import DATASETS, TRANSFORMS
from mmengine.dataset import BaseDataset
from mmengine.registry import DefaultScope

from opanas_cli.detection.data.image_subset import image_paths, image_subset, number_of, part_names
from opanas_cli.detection.data.sample_seeds import SeededSamples
from opanas_cli.detection.processes.random_states import seeded
from opanas_cli.errors import InvalidConfigError, InvalidDataError

CLASSES = ("thing", "rare")
NUMBER_OF_CAT = 0.04074028370808765
"""The first 64 bits of the SHA-256 of ``cat.jpg``, as `sha256sum` gives them, divided by 2**64."""


@DATASETS.register_module(force=True)
class Names(BaseDataset):
    """A data set of nothing but image paths, every seventh with a rare object."""

    METAINFO = {"classes": CLASSES}  # noqa: RUF012

    def __init__(self, names: tuple[str, ...], serialize_data: bool = False, **options: Any) -> None:
        self.names = names
        # Serializing collects garbage, which takes its time in a large process.
        super().__init__(data_prefix={}, serialize_data=serialize_data, **options)

    def load_data_list(self) -> list[dict[str, Any]]:
        return [{"img_path": name, "label": int(index % 7 == 0)} for index, name in enumerate(self.names)]

    def get_cat_ids(self, idx: int) -> list[int]:
        return [self.get_data_info(idx)["label"]]


@TRANSFORMS.register_module(force=True)
class NowAndThen:
    """Gives None for some images always and for others at random."""

    def __init__(self, never: float, seldom: float) -> None:
        self.never, self.seldom = never, seldom

    def __call__(self, results: dict[str, Any]) -> dict[str, Any] | None:
        left_out = left_out_always(results["img_path"], self.never) or random.random() < self.seldom
        return None if left_out else results


def left_out_always(path: str, never: float) -> bool:
    return number_of(f"never {Path(path).name}") < never


@TRANSFORMS.register_module(force=True)
class Mixed:
    """Keeps the names of an image and of three others, drawn as mosaics draw them."""

    def get_indexes(self, dataset: Any) -> list[int]:
        return [random.randrange(len(dataset)) for _ in range(3)]

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        return {**results, "others": [other["img_path"] for other in results["mix_results"]]}


def listed(count: int, prefix: str = "images/") -> tuple[str, ...]:
    return tuple(f"{prefix}{index:05d}.jpg" for index in range(count))


def config_of(names: tuple[str, ...], **options: Any) -> dict[str, Any]:
    return dict(type="Names", names=names, **options)


def paths(subset: Any) -> list[str]:
    return list(image_paths(subset))


def names(part: str, split: float, count: int = 500, **options: Any) -> list[str]:
    return paths(image_subset(config_of(listed(count)), part, split, **options))


@pytest.mark.parametrize("split", [0.1, 0.3, 0.77])
def test_the_parts_never_meet_and_miss_nothing(split: float) -> None:
    train, search = names("train", split), names("search", split)
    assert not set(train) & set(search)
    assert sorted(train + search) == list(listed(500))
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
    elsewhere = paths(image_subset(config_of(listed(200, "/other/place/")), "search", 0.3))
    here = paths(image_subset(config_of(listed(200)), "search", 0.3))
    assert [Path(path).name for path in elsewhere] == [Path(path).name for path in here]


def test_numbers_are_the_same_in_every_process() -> None:
    program = (
        "import opanas_cli.detection; from opanas_cli.detection.data.image_subset import number_of\n"
        "print(repr(number_of('cat.jpg')))"
    )
    # The seed of Python's own hash, which differs from process to process, and here from that of this process.
    seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    child = subprocess.run([sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, check=True)
    assert number_of("cat.jpg") == float(child.stdout) == NUMBER_OF_CAT


def test_an_empty_part() -> None:
    with pytest.raises(InvalidDataError, match="the search part of 20 training images is empty at search_split=0"):
        names("search", 0.0, count=20)
    with pytest.raises(ValueError, match="part must be one of"):
        names("test", 0.5)


def clips(root: str = "data", per_clip: int = 10) -> dict[str, Any]:
    """Frames of 40 videos, the files of each named from 1 on."""
    frames = [f"{root}/clip_{clip:02}/{frame:04}.jpg" for clip in range(40) for frame in range(1, per_clip + 1)]
    return config_of(tuple(frames), data_root=root)


def test_copies_of_one_image_are_in_one_part() -> None:
    names = part_names([f"train/a_jpg.rf.{copy:032x}.jpg" for copy in range(3)] + ["train/a.rf.jpg"], None, "file")
    assert names == ["a_jpg.jpg"] * 3 + ["a.rf.jpg"]


def test_files_of_one_name_are_in_one_part_whatever_their_folders() -> None:
    train, search = (paths(image_subset(clips(), part, 0.3)) for part in ("train", "search"))
    assert not {Path(path).name for path in train} & {Path(path).name for path in search}


@pytest.mark.parametrize("part", ["train", "search"])
def test_a_split_by_folder_keeps_the_frames_of_a_video_together(part: str) -> None:
    options = dict(part=part, search_split=0.3, data_fraction=0.5)
    by_folder = paths(image_subset(clips(), split_by="folder", **options))
    assert len(by_folder) == 10 * len({Path(path).parent for path in by_folder})
    by_file = paths(image_subset(clips(), **options))
    assert {Path(path).parent for path in by_file} == {
        Path(path).parent for path in paths(image_subset(clips(), "search", 1.0))
    }
    # Wherever the data is, and whatever is added to it.
    elsewhere = paths(image_subset(clips("/mnt/more", 12), split_by="folder", **options))
    assert set(by_folder) < {path.replace("/mnt/more", "data") for path in elsewhere}


def test_the_parts_by_folder_never_meet_and_miss_nothing() -> None:
    parts = [paths(image_subset(clips(), part, 0.3, split_by="folder")) for part in ("train", "search")]
    folders = [{Path(path).parent for path in part} for part in parts]
    assert not folders[0] & folders[1]
    assert (len(parts[0]) + len(parts[1]), len(folders[1]) / 40) == (400, pytest.approx(0.3, abs=0.15))


def test_a_few_images_of_a_split_by_folder_are_of_many_videos() -> None:
    few = paths(image_subset(clips(), "search", 0.3, max_images=8, split_by="folder"))
    assert len({Path(path).parent for path in few}) == len(few) == 8


def test_folders_are_named_from_the_data_root_on() -> None:
    with pytest.raises(InvalidConfigError, match=r"supernet.split_by=folder: .*; set data_root"):
        image_subset(config_of(listed(4)), "train", 0.5, split_by="folder")
    with pytest.raises(InvalidDataError, match=r"empty at .* split_by=folder \(1 distinct names\); change these"):
        image_subset(config_of(listed(20), data_root="images"), "search", 1e-9, split_by="folder")


def plain(pipeline: list[Any]) -> dict[str, Any]:
    return config_of(listed(48), pipeline=pipeline)


def concatenated(pipeline: list[Any]) -> dict[str, Any]:
    parts = [config_of(names, pipeline=pipeline) for names in (listed(24), listed(24, "more/1"))]
    return dict(type="ConcatDataset", datasets=parts)


WRAPPED: dict[str, Callable[[list[Any]], dict[str, Any]]] = {
    "plain": plain,
    "serialized": lambda pipeline: {**plain(pipeline), "serialize_data": True},
    "concatenated": concatenated,
    "repeated": lambda pipeline: dict(type="RepeatDataset", times=2, dataset=concatenated(pipeline)),
    "balanced": lambda pipeline: dict(type="ClassBalancedDataset", oversample_thr=0.5, dataset=plain(pipeline)),
    "mixed": lambda pipeline: dict(type="MultiImageMixDataset", dataset=plain(pipeline), pipeline=[dict(type="Mixed")]),
}


@pytest.mark.parametrize("kind", WRAPPED)
@settings(max_examples=12, deadline=None)
@given(
    never=st.sampled_from([0.0, 0.2, 0.4]),
    seldom=st.sampled_from([0.0, 0.2, 0.6]),
    split=st.floats(0.1, 0.8),
    fraction=st.floats(0.4, 1.0),
    seed=st.integers(0, 2**31),
)
def test_whatever_a_pipeline_leaves_out_training_meets_no_image_of_another_part(
    kind: str, never: float, seldom: float, split: float, fraction: float, seed: int
) -> None:
    config = WRAPPED[kind]([dict(type="NowAndThen", never=never, seldom=seldom)])
    with DefaultScope.overwrite_default_scope("mmdet"), seeded(seed):
        subset = SeededSamples(image_subset(config, "train", split, fraction))
        part = set(paths(subset))
        # mmengine draws from the data set that the image is of.
        usable = {Path(path).parent for path in part if not left_out_always(path, never)}
        assume(usable == {Path(path).parent for path in part})
        samples = [subset[index, seed + index] for index in range(len(subset))]
    trained = {path for sample in samples for path in (sample["img_path"], *sample.get("others", ()))}
    assert trained <= part
    assert all(split <= number_of(Path(path).name) < split + (1 - split) * fraction for path in part)


def test_another_kind_of_data_set() -> None:
    DATASETS.register_module("NoBaseDataset", module=list, force=True)
    with pytest.raises(InvalidConfigError, match="NoBaseDataset: is not an mmengine BaseDataset"):
        image_subset(dict(type="NoBaseDataset"), "train", 0.1)


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


def test_train_and_test_mode_choose_the_same_images(shapes_root: Path) -> None:
    trained = image_subset(coco(shapes_root), "search", 0.5)
    tested = image_subset(coco(shapes_root, test_mode=True), "search", 0.5)
    assert paths(trained) == paths(tested)
    assert trained.metainfo["classes"] == ("disk", "square", "triangle")


def test_data_sets_in_wrappers(shapes_root: Path, mmdet_scope: None) -> None:
    one = paths(image_subset(coco(shapes_root), "search", 0.5))
    both = dict(type="ConcatDataset", datasets=[coco(shapes_root), coco(shapes_root)])
    assert paths(image_subset(both, "search", 0.5)) == one * 2
    repeated = dict(type="RepeatDataset", times=3, dataset=coco(shapes_root))
    assert paths(image_subset(repeated, "search", 0.5)) == one * 3
    assert not set(one) & set(paths(image_subset(repeated, "train", 0.5)))
