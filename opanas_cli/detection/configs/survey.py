"""What a user's folder of images holds, as training would take it: read once, image by image, and nothing written."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from opanas_cli.detection.configs.box_sizes import BoxSizes, Pyramid
from opanas_cli.detection.configs.data_checks import (
    check_counts,
    check_each_class,
    dataset_classes,
    problem_with,
    which_images,
    with_sizes,
)
from opanas_cli.detection.configs.files import load_config, read_config
from opanas_cli.detection.configs.parts import required_datasets
from opanas_cli.detection.data.annotated_images import AnnotatedImage, Found, annotated_images, declared_classes
from opanas_cli.detection.data.annotation_files import image_folder, source_of
from opanas_cli.detection.data.facts import Counts, decoder_of, largest_corner, no_images
from opanas_cli.detection.data.image_subset import number_of
from opanas_cli.detection.data.layouts import recognised
from opanas_cli.detection.data.nested_files import SUFFIXES, nested_files
from opanas_cli.detection.data.split_parts import SPLITS, told_of
from opanas_cli.errors import InvalidDataError

CONFIGS = ("custom", "custom-small")
"""Those that take a folder of one's own; their pyramids are what sizes of boxes are compared with."""

SHOWN = 16
"""Images on a contact sheet."""

MOST_PROBLEMS = 20
"""As many are named; all are counted."""

Row = Callable[[str, Path], None]
"""Called with the split and the path of each image that can be used."""


@dataclass
class SplitSurvey(Counts):
    """One split.

    `problems` names the first of the `num_problems` for which training would refuse it; `notes` says what training
    would leave out, or take in some way.
    """

    sizes: BoxSizes = field(default_factory=BoxSizes)
    num_problems: int = 0
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def refuse(self, problem: str) -> None:
        """Count a problem."""
        self.num_problems += 1
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(problem)


@dataclass(frozen=True)
class Shown:
    """An image for the contact sheet."""

    split: str
    image: AnnotatedImage
    backend: str


@dataclass
class Survey:
    """What a folder holds.

    `made` says how the splits were made, if they were; None otherwise. `unlisted` counts the images in the folders that
    no annotation lists, if there is no problem; `shown` are those for a contact sheet.
    """

    layout: str
    classes: tuple[str, ...]
    pyramids: list[Pyramid]
    made: str | None = None
    splits: dict[str, SplitSurvey] = field(default_factory=dict)
    unlisted: int = 0
    shown: list[Shown] = field(default_factory=list)


def survey(root: Path, overrides: Sequence[str], say: Callable[[str], None], row: Row = lambda *_: None) -> Survey:
    """Read a folder as the shipped config `custom` does, and every image in it.

    Raises InvalidDataError if there is no such folder, it is in no known layout or there is nothing to train on;
    InvalidConfigError if an override is wrong. All else that training would refuse is in the survey's problems.
    """
    pyramids = [Pyramid.of(read_config(name), name) for name in CONFIGS]
    config = load_config(CONFIGS[0], (f"data_root={root}", *overrides))
    found = Survey(recognised(root).name, tuple(config.classes), pyramids)
    lowest = _Lowest()
    datasets: dict[str, Any] = {}
    for split in SPLITS:
        (dataset,) = required_datasets(config, split)
        if which_images(dataset) not in map(which_images, datasets.values()):
            datasets[split] = dataset
            found.made = told_of(dataset.part) if "part" in dataset else None
    trained: set[int] = set()
    for split, dataset in datasets.items():
        say(f"reading {split}: {source_of(dataset)}")
        found.splits[split] = _survey_split(split, dataset, pyramids, lowest, trained, row)
    found.shown = lowest.kept()
    if any(split.num_problems for split in found.splits.values()):
        return found
    folders = {image_folder(dataset) for dataset in datasets.values()}
    outermost = [folder for folder in folders if not any(other in folder.parents for other in folders)]
    in_folders = sum(1 for folder in outermost for _ in nested_files(folder, SUFFIXES))
    found.unlisted = max(0, in_folders - sum(split.num_images for split in found.splits.values()))
    return found


class _Lowest:
    """The images whose names have the lowest numbers, so the same ones wherever and in whatever order they are read."""

    def __init__(self) -> None:
        self.heap: list[tuple[float, str, str, Shown]] = []

    def add(self, shown: Shown) -> None:
        name = shown.image.name
        heapq.heappush(self.heap, (-number_of(name), shown.split, name, shown))
        if len(self.heap) > SHOWN:
            heapq.heappop(self.heap)

    def kept(self) -> list[Shown]:
        return [entry[-1] for entry in sorted(self.heap, key=lambda entry: entry[:3], reverse=True)]


def _survey_split(
    split: str, dataset: Any, pyramids: Sequence[Pyramid], lowest: _Lowest, trained: set[int], row: Row
) -> SplitSurvey:
    """One split; `trained` has the hashes of the paths of all training images, which come first."""
    backend, classes = decoder_of(dataset), dataset_classes(dataset)
    own = SplitSurvey(source_of(dataset), backend, declared_classes(dataset))
    differing = shared = 0
    images = _without_problems(annotated_images(dataset, backend), own)
    with closing(with_sizes(images, lambda image: image.path, backend)) as read:
        for image, size in read:
            own.add(image)
            problem = problem_with(size, largest_corner(image))
            if problem or isinstance(size, str):
                own.refuse(f"{image.path}: {problem}")
                continue
            differing += image.size not in (None, size)
            path = hash(image.path)
            if split == "train":
                trained.add(path)
            else:
                shared += path in trained
            for name, (left, top, right, bottom) in image.objects:
                if name in classes:
                    own.sizes.add(right - left, bottom - top, size, pyramids)
            lowest.add(Shown(split, image, backend))
            row(split, image.path)
    if differing:
        own.notes.append(f"images of another size than the annotations say, whose boxes may not fit: {differing}")
    if shared:
        own.notes.append(f"images that are trained on, so that AP is too high: {shared}")
    if split == "train" and own.without_objects:
        own.notes.append(f"images without objects, which are not trained on: {own.without_objects}")
    if not own.num_images:
        if not own.num_problems:
            own.refuse(no_images(dataset))
        return own
    try:
        check_counts(own, classes, own.notes.append)
        if split == "train":
            check_each_class(own.objects if own.categories is None else classes, classes, own.source)
    except InvalidDataError as error:
        own.refuse(str(error))
    return own


def _without_problems(images: Iterator[Found], own: SplitSurvey) -> Iterator[AnnotatedImage]:
    for image in images:
        if isinstance(image, InvalidDataError):
            own.refuse(str(image))
        else:
            yield image
