"""Checks a data set before hours are spent on it: files, boxes, classes."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from itertools import islice
from multiprocessing.pool import ThreadPool
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from mmdet.registry import DATASETS
from mmengine.config import Config

from opanas_cli.detection.configs.building import config_errors
from opanas_cli.detection.configs.parts import class_heads, required_datasets
from opanas_cli.detection.configs.sections import section_of
from opanas_cli.detection.data.annotation_files import forget_coco
from opanas_cli.detection.data.facts import Counts, facts_of
from opanas_cli.detection.data.image_files import Size, size_or_problem
from opanas_cli.detection.data.image_subset import images_between, part_names
from opanas_cli.detection.data.split_parts import told_of
from opanas_cli.detection.processes.group import once_per_machine
from opanas_cli.errors import InvalidConfigError, InvalidDataError

T = TypeVar("T")

READ_AT_A_TIME = 1024
"""Images that wait to be read at a time, so that a million does not fill the memory."""


def check_data(
    config: Config,
    splits: Sequence[str],
    warn: Callable[[str], None],
    say: Callable[[str], None] = lambda _: None,
    search_split: float = 1.0,
    max_images: int | None = None,
) -> None:
    """Check the annotations and images of some splits, and that the heads have as many classes as the data.

    One process of each machine checks, the others wait. None of them keeps the annotations that it has read so far.
    Raises InvalidDataError if an annotation file or an image is missing or broken, a split has no object, or its
    classes are not those of the config; InvalidConfigError if a split is missing, or the heads' `num_classes` is wrong.

    Args:
        splits: of ``train``, ``val`` and ``test``.
        warn: called with what is ignored, boxes with no area among it.
        say: called with what is checked, before it is: at COCO's size that takes minutes.
        search_split, max_images: check only the images that a search on this split evaluates on; all by default.
    """
    check = config_errors(config.filename, "its data cannot be read")(_check_splits)
    try:
        once_per_machine(lambda: check(config, splits, warn, say, search_split, max_images))
    finally:
        forget_coco()  # Reading a config may read them, in every process.


def _check_splits(
    config: Config,
    splits: Sequence[str],
    warn: Callable[[str], None],
    say: Callable[[str], None],
    search_split: float,
    max_images: int | None,
) -> None:
    split_by = section_of(config, "supernet").split_by
    seen: set[str] = set()
    told: set[str] = set()
    trained: set[Path] = set()
    for split in splits:
        datasets = required_datasets(config, split)
        named: Counter[str] = Counter()
        for dataset in datasets:
            if (part := dataset.get("part")) and (telling := told_of(part)) not in told:
                told.add(telling)
                say(f"{dataset['data_root']}: {telling}")
            of_part = f", the {part['name']} part" if part else ""
            say(f"checking {Path(dataset.get('data_root') or '', dataset.get('ann_file') or '')}{of_part}")
            facts, classes = facts_of(dataset, config.filename), dataset_classes(dataset)
            named.update(facts.objects if facts.categories is None else classes)
            if split == "train":
                trained.update(facts.images)
            elif shared := len(trained.intersection(facts.images)):
                warn(
                    f"{facts.source}: {shared} of its {len(facts.images)} {split} images are trained on: AP is too high"
                )
            if which_images(dataset) in seen:
                continue
            seen.add(which_images(dataset))
            check_counts(facts, classes, warn)
            _check_head(config, len(classes), facts.source)
            images = facts.images
            if search_split < 1 or max_images:
                names = list(map(str, images))
                parts = part_names(names, dataset.get("data_root"), split_by)
                chosen = {names[index] for index in images_between(names, parts, 0.0, search_split, max_images)}
                images = {path: size for path, size in images.items() if str(path) in chosen}
            say(f"checking {len(images)} images")
            check_images(images, facts.source, warn, facts.backend, facts.corners)
        if split == "train":
            check_each_class(named, classes, facts.source)


def check_images(
    images: Mapping[Path, Size | None],
    source: Path,
    warn: Callable[[str], None],
    backend: str = "cv2",
    corners: Mapping[Path, Size] = MappingProxyType({}),
) -> None:
    """Check that images exist, can be decoded, are whole, and that their boxes begin within them.

    Raises InvalidDataError with the path of one that fails.

    Args:
        images: each with the (width, height) that its annotation states, if it does.
        warn: called if images are of another size.
        backend: what mmcv decodes them with.
        corners: the largest left and the largest top of the boxes of an image.
    """
    others: list[str] = []
    with closing(with_sizes(images.items(), lambda item: item[0], backend)) as found_sizes:
        for (path, stated), found in found_sizes:
            if problem := problem_with(found, corners.get(path, (-1, -1))):
                restore = f"restore it, or remove it from {source}, which lists {len(images)} images"
                correct = f"correct the box and the size of the image in {source}"
                raise InvalidDataError(f"{path}: {problem}; {restore if isinstance(found, str) else correct}")
            if stated is not None and stated != found:
                others.append(f"{path} is {found[0]}×{found[1]} and not {stated[0]}×{stated[1]}")
    if others:
        number = f"{len(others)} images differ" if len(others) > 1 else "1 image differs"
        warn(f"{source}: {number} in size from the annotations ({others[0]}); check that the boxes fit")


def with_sizes(items: Iterable[T], path_of: Callable[[T], Path], backend: str) -> Iterator[tuple[T, Size | str]]:
    """Each item with the (width, height) of its image, or the problem of it; some images are read at a time."""
    read = partial(size_or_problem, backend=backend)
    remaining = iter(items)
    # Its threads are daemons and leaving it does not wait for them: a file server that hangs keeps no process alive.
    with ThreadPool(min(32, (os.cpu_count() or 1) + 4)) as pool:
        while batch := list(islice(remaining, READ_AT_A_TIME)):
            yield from zip(batch, pool.imap(read, map(path_of, batch)), strict=True)


def problem_with(found: Size | str, corner: Size) -> str | None:
    """What is wrong with an image that was read, whose boxes begin at most at `corner`."""
    if isinstance(found, str):
        return found
    left, top = corner
    if left >= found[0] or top >= found[1]:  # Clipped, such a box would make the loss NaN.
        return f"is {found[0]}×{found[1]}, but a box begins outside of it, at x={left:g} or y={top:g}"
    return None


def which_images(dataset: Any) -> str:
    """What tells the images of a data set config from those of others."""
    return repr([dataset.get(key) for key in ("type", "data_root", "ann_file", "data_prefix", "images", "part")])


def dataset_classes(dataset: Any) -> tuple[str, ...]:
    """The classes that a data set config is read with: those it names, else those of its type.

    Raises InvalidConfigError if the type is unknown, or the classes are not a list.
    """
    given = (dataset.get("metainfo") or {}).get("classes")
    if given is not None and not isinstance(given, (list, tuple)):
        raise InvalidConfigError(
            f"metainfo.classes of {dataset['type']} must be a list of names, but got {given!r:.60}"
        )
    kind = DATASETS.get(dataset["type"])
    if kind is None:
        raise InvalidConfigError(
            f"'{dataset['type']}' is not a data set that mmdet knows; use CocoDataset or XMLDataset"
        )
    return tuple(given or kind.METAINFO.get("classes", ()))


def check_counts(facts: Counts, classes: tuple[str, ...], warn: Callable[[str], None]) -> None:
    """Check the classes of what was counted, and warn of what is ignored; InvalidDataError if they do not fit."""
    if not facts.objects:
        raise InvalidDataError(f"{facts.source}: has no annotations; a detector needs objects to learn and to find")
    if facts.categories is not None:
        _check_categories(facts.source, facts.categories, classes)
    unknown = [name for name in facts.objects if name not in classes]
    if len(unknown) == len(facts.objects):
        raise InvalidDataError(
            f"{facts.source}: no object has one of the config's classes ({', '.join(classes)}); the objects have "
            f"{', '.join(facts.objects)}"
        )
    if unknown:
        number = sum(facts.objects[name] for name in unknown)
        objects = f"{number} object{'s' if number > 1 else ''}"
        warn(f"{facts.source}: ignoring {objects} of classes not in the config ({', '.join(unknown)})")
    if facts.without_annotation:
        warn(f"{facts.source}: taking images without a label file to show no object: {facts.without_annotation}")
    if facts.empty_boxes:
        warn(f"{facts.source}: ignoring boxes with no area inside the image: {facts.empty_boxes}")


def _check_categories(source: Path, categories: tuple[str, ...], classes: tuple[str, ...]) -> None:
    missing = [name for name in classes if name not in categories]
    if missing:
        raise InvalidDataError(
            f"{source}: has no category '{missing[0]}', which the config's classes name; its categories are "
            f"{', '.join(categories)}"
        )
    # mmdet labels categories in the order of the file: in another order the detector would confuse the classes.
    ordered = tuple(name for name in categories if name in classes)
    if ordered != classes:
        raise InvalidDataError(
            f"{source}: its categories come in the order {', '.join(ordered)}, and the classes are read in the order "
            f"{', '.join(classes)}; use one order in all annotation files and in `classes`"
        )


def check_each_class(named: Iterable[str], classes: tuple[str, ...], source: Path) -> None:
    """Raise InvalidDataError unless each class is among those that the training data names."""
    missing = [name for name in classes if name not in named]
    if missing:
        raise InvalidDataError(
            f"{source}: no training object has class '{missing[0]}', which the config's classes name; the objects have "
            f"{', '.join(sorted(named))}"
        )


def _check_head(config: Config, count: int, source: Path) -> None:
    for head in class_heads(config.model):
        if head["num_classes"] != count:
            raise InvalidConfigError(
                f"{config.filename}: the head has num_classes={head['num_classes']}, but {source} is read with {count} "
                "classes; set both to the same number (--cfg-options classes=… does)"
            )
