"""The splits of a data set that comes without: by a hash of names, so the same on every machine and in every run."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any
from unicodedata import normalize

from opanas_cli.detection.data.image_subset import name_of_original, number_of
from opanas_cli.detection.data.nested_files import SUFFIXES
from opanas_cli.errors import InvalidConfigError

SPLITS = ("train", "val", "test")
KEPT_TOGETHER = ("file", "folder")

ENDS_IN_NUMBER = re.compile(r"\d+$")
FEWEST_FOLDERS, FEWEST_FRAMES = 10, 5
"""Fewer folders than this cannot be split by folder; folders of fewer images on average hold no videos."""

Part = Mapping[str, Any]
"""``name``, one of `SPLITS`; ``fractions`` of the three; ``by``, what is kept together: see `in_part`."""


def checked_split(split: Any, source: Any) -> tuple[tuple[float, ...], str | None]:
    """The fractions and what is kept together, None if that is not said, of a config's `split`.

    Raises InvalidConfigError if it is not three fractions that add up to 1, ``file`` or ``folder`` behind them or not.
    """
    given = tuple(split) if isinstance(split, (list, tuple)) else (split,)
    by = given[3] if len(given) == 4 else None
    numbers = all(isinstance(part, (int, float)) and not isinstance(part, bool) and part >= 0 for part in given[:3])
    if len(given) not in (3, 4) or by not in (None, *KEPT_TOGETHER) or not numbers or not _are_parts(given[:3]):
        raise InvalidConfigError(
            f"{source}: must be the fractions of train, val and test, which add up to 1, such as 0.8,0.1,0.1 or "
            f"0.8,0.1,0.1,folder, but got {split!r:.60}"
        )
    return tuple(map(float, given[:3])), by


def _are_parts(fractions: tuple[float, ...]) -> bool:
    return abs(sum(fractions) - 1) < 1e-6 and fractions[0] > 0 and sum(fractions[1:]) > 0


def in_part(name: str, part: Part | None) -> bool:
    """Whether an image is in a part; all are if there is none.

    What is hashed is the image's name without its suffix and without what Roboflow adds to copies, or the path of its
    folder. The numbers are independent of
    those by which images are held out for the search.

    Args:
        name: the path from the folder of the images on, with ``/``.
    """
    return part is None or split_of(name, part["fractions"], part["by"]) == part["name"]


def split_of(name: str, fractions: tuple[float, ...], by: str) -> str:
    """One of `SPLITS`; see `in_part`."""
    path = PurePosixPath(name)
    kept = name_of_original(_without_suffix(path.name)) if by == "file" else str(path.parent)
    # Systems spell accents in two ways.
    number = number_of(f"split/{normalize('NFC', kept)}")
    return SPLITS[0] if number < fractions[0] else SPLITS[1] if number < fractions[0] + fractions[1] else SPLITS[2]


def _without_suffix(name: str) -> str:
    """The name of an image without its suffix, which VOC's lists leave out."""
    path = PurePosixPath(name)
    return path.stem if path.suffix.lower() in SUFFIXES else name


def kept_together(names: Iterable[str]) -> str:
    """``folder`` if images look like the frames of videos: numbered, many to a folder, and there are many folders."""
    folders: Counter[str] = Counter()
    numbered = 0
    for name in names:
        path = PurePosixPath(name)
        folders[str(path.parent)] += 1
        numbered += ENDS_IN_NUMBER.search(_without_suffix(path.name)) is not None
    total = folders.total()
    are_frames = len(folders) >= FEWEST_FOLDERS and total >= FEWEST_FRAMES * len(folders) and numbered >= 0.9 * total
    return "folder" if are_frames else "file"


def told_of(part: Part) -> str:
    """How a data set that has no splits is split, in words."""
    fractions = ", ".join(f"{name} {fraction:g}" for name, fraction in zip(SPLITS, part["fractions"], strict=True))
    what = "its name" if part["by"] == "file" else "the path of its folder"
    return f"no splits found: each image is put into one by a hash of {what} ({fractions}; setting `split`)"
