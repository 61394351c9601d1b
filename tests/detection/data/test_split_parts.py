"""Splits by a hash of names."""

from __future__ import annotations

import hashlib
from collections import Counter
from unicodedata import normalize

import pytest

from opanas_cli.detection.data.image_subset import number_of
from opanas_cli.detection.data.split_parts import in_part, kept_together, split_of

TENTHS = (0.8, 0.1, 0.1)


def test_the_hash_is_of_the_name_without_suffix() -> None:
    for name in ("a", "night/b", "größe 7"):
        stem = name.rpartition("/")[2]
        number = int(hashlib.sha256(f"split/{stem}".encode()).hexdigest()[:16], 16) / 2**64
        expected = "train" if number < 0.8 else "val" if number < 0.9 else "test"
        assert {split_of(f"{name}{suffix}", TENTHS, "file") for suffix in (".jpg", ".png")} == {expected}


def test_a_dot_in_a_name_begins_no_suffix_but_that_of_an_image() -> None:
    names = [f"site.{index:05}" for index in range(300)]
    splits = [split_of(name, TENTHS, "file") for name in names]
    assert splits == [split_of(f"{name}.jpg", TENTHS, "file") for name in names]
    assert set(splits) == {"train", "val", "test"}


def test_copies_of_one_image_are_in_one_split() -> None:
    """Roboflow writes several changed copies of each image."""
    for index in range(50):
        names = [f"IMG_{index}_jpg.rf.{copy:032x}" for copy in range(5)]
        assert len({split_of(f"{name}{suffix}", TENTHS, "file") for name in names for suffix in ("", ".jpg")}) == 1
    assert len({split_of(f"IMG_{index}_jpg.rf.{0:032x}.jpg", TENTHS, "file") for index in range(50)}) == 3


def test_parts_are_disjoint_and_of_their_size() -> None:
    names = [f"folder{index % 7}/image {index}.jpg" for index in range(10_000)]
    parts = [dict(name=part, fractions=TENTHS, by="file") for part in ("train", "val", "test")]
    counts = Counter(sum(in_part(name, part) for part in parts) for name in names)
    assert counts == {1: 10_000}
    sizes = [sum(in_part(name, part) for name in names) for part in parts]
    # Three standard deviations of a binomial distribution.
    assert sizes == [pytest.approx(8000, abs=120), pytest.approx(1000, abs=90), pytest.approx(1000, abs=90)]
    assert all(in_part(name, None) for name in names[:10])


def test_folders_stay_together() -> None:
    for folder in map(str, range(50)):
        assert len({split_of(f"{folder}/{frame}.jpg", TENTHS, "folder") for frame in range(20)}) == 1


def test_more_training_images_keep_those_there_were() -> None:
    names = [f"{index}.jpg" for index in range(1000)]
    few, many = (
        {name for name in names if split_of(name, (size, 1 - size, 0), "file") == "train"} for size in (0.5, 0.8)
    )
    assert few < many


def test_the_split_says_nothing_of_what_is_held_out_for_the_search() -> None:
    """Or no training image would be held out, or all."""
    training = [name for name in map(str, range(10_000)) if split_of(f"{name}.jpg", TENTHS, "file") == "train"]
    assert sum(number_of(f"{name}.jpg") < 0.2 for name in training) / len(training) == pytest.approx(0.2, abs=0.02)


def test_both_spellings_of_an_accent_are_one_name() -> None:
    names = [f"é{index}.jpg" for index in range(100)]
    splits = [[split_of(normalize(form, name), TENTHS, "file") for name in names] for form in ("NFC", "NFD")]
    assert splits[0] == splits[1]
    assert len(set(splits[0])) == 3


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([f"{video}/{frame:06d}.jpg" for video in range(10) for frame in range(5)], "folder"),
        ([f"{video}/frame-{frame}.jpg" for video in range(10) for frame in range(5)], "folder"),
        ([f"{video}/{frame:06d}.jpg" for video in range(9) for frame in range(50)], "file"),
        ([f"{video}/{frame:06d}.jpg" for video in range(50) for frame in range(4)], "file"),
        ([f"{video}/{frame:06d}a.jpg" for video in range(10) for frame in range(5)], "file"),
        ([f"{frame:06d}.jpg" for frame in range(100)], "file"),
        ([], "file"),
    ],
)
def test_what_looks_like_the_frames_of_videos(names: list[str], expected: str) -> None:
    assert kept_together(iter(names)) == expected
