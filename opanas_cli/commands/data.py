"""``opanas data``: what a folder of images holds, and what training would make of it."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from opanas_cli.commands.common.console import Console, shown
from opanas_cli.commands.common.options import common_options
from opanas_cli.errors import InvalidConfigError, InvalidDataError, UsageError

if TYPE_CHECKING:
    from opanas_cli.detection.configs.box_sizes import Pyramid
    from opanas_cli.detection.configs.survey import SplitSurvey, Survey

FILE = click.Path(dir_okay=False, path_type=Path)
SIDES = {"smallest": 0.05, "median": 0.5, "largest": 0.95}
"""Sides of boxes that are reported: the fraction of the boxes that they are not below."""


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--classes", metavar="A,B,...", help="Take these classes alone.  [default: all that are annotated]")
@click.option(
    "--split",
    metavar="TRAIN,VAL,TEST[,file|folder]",
    help="Fractions of the splits, if there are none, and whether images or whole folders are put into them.  "
    "[default: 0.8,0.1,0.1, and folders if they hold the frames of videos]",
)
@click.option("--write-splits", type=FILE, metavar="FILE", help="Write a line with split and path for each image.")
@click.option("--sheet", "contact_sheet", type=FILE, metavar="FILE.png", help="Draw 16 images with their boxes.")
@common_options
def data(
    folder: Path,
    classes: str | None,
    split: str | None,
    write_splits: Path | None,
    contact_sheet: Path | None,
    console: Console,
) -> int:
    """Say what a folder of images holds: layout, splits, classes, sizes of boxes, and what is broken.

    Reads DIR, every image in it too, as the config `custom` would be trained on it; writes nothing unless it is asked
    to. The exit code is 0 if training would accept it, and 3 if it would not.

    \b
    Example:
      opanas data /data/cells --sheet cells.png
    """
    from opanas_cli.detection.configs.survey import survey

    if split is not None:
        _check_split(split)
    overrides = [f"{name}={value}" for name, value in (("classes", classes), ("split", split)) if value is not None]
    with _rows(write_splits, folder) as row:
        found = survey(folder, overrides, console.say, row)
    if split is not None and found.made is None:
        console.warn(f"--split: {folder} has splits, which are kept")
    files = {} if write_splits is None else {"splits": write_splits}
    if contact_sheet is not None and found.shown:
        _draw(found, contact_sheet)
        files["contact_sheet"] = contact_sheet
    console.result("\n".join(_lines(found)), _document(found), files)
    return InvalidDataError.exit_code if any(own.num_problems for own in found.splits.values()) else 0


def _check_split(split: str) -> None:
    from opanas_cli.detection.configs.files import parse_overrides
    from opanas_cli.detection.data.split_parts import checked_split

    try:
        checked_split(parse_overrides([f"split={split}"])["split"], "--split")
    except InvalidConfigError as error:
        raise UsageError(str(error)) from error


@contextmanager
def _rows(path: Path | None, folder: Path) -> Iterator[Callable[[str, Path], None]]:
    """Writes a line for each image that it is called with."""
    from opanas_cli.atomic import replacing

    if path is None:
        yield lambda split, image: None
        return
    with (
        replacing(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        table = csv.writer(file, delimiter="\t", lineterminator="\n")
        yield lambda split, image: table.writerow([split, image.relative_to(folder).as_posix()])


def _draw(found: Survey, path: Path) -> None:
    from opanas_cli.detection.data.contact_sheet import write_contact_sheet

    images = [(f"{one.split}: {one.image.name}", one.image) for one in found.shown]
    write_contact_sheet(images, found.classes, found.shown[0].backend, path)


def _lines(found: Survey) -> Iterator[str]:
    yield f"layout: {found.layout}"
    if found.made:
        yield found.made
    yield from _table(found)
    for name, own in found.splits.items():
        if own.sizes.sides:
            yield from _sizes(name, own, found.pyramids)
    for name, own in found.splits.items():
        yield from (f"{name}: {note}" for note in own.notes)
    if found.unlisted:
        yield f"images in the same folders without annotation, which are left out: {found.unlisted}"
    for name, own in found.splits.items():
        yield from (f"{name}: problem: {problem}" for problem in own.problems)
        if (more := own.num_problems - len(own.problems)) > 0:
            yield f"{name}: {more} more problems"
    count = sum(own.num_problems for own in found.splits.values())
    yield f"training would refuse this: problems: {count}" if count else "no problem found"


def _table(found: Survey) -> Iterator[str]:
    """Images, boxes and classes by split."""
    splits = found.splits.values()
    rows = [("", list(found.splits)), ("images", [f"{own.num_images:,}" for own in splits])]
    rows.append(("boxes", [f"{own.objects.total():,}" for own in splits]))
    rows += [(f"  {name}", [f"{own.objects[name]:,}" for own in splits]) for name in found.classes]
    width = max(len(shown(title)) for title, _ in rows)
    for title, cells in rows:
        yield f"{shown(title):{width}}{''.join(f'{cell:>10}' for cell in cells)}"


def _sizes(split: str, own: SplitSurvey, pyramids: list[Pyramid]) -> Iterator[str]:
    sides = ", ".join(f"{name} {own.sizes.side_at(part):.0f}" for name, part in SIDES.items())
    yield f"{split}: √area of the boxes in pixels: {sides}"
    total = own.sizes.sides.total()
    for pyramid in pyramids:
        counts, below = own.sizes.levels[pyramid.config], own.sizes.below_stride[pyramid.config]
        levels = ", ".join(f"{level} {counts[level] / total:.0%}" for level in pyramid.levels)
        width, height = pyramid.scale
        small = f"; below the stride of {pyramid.strides[0]} pixels {below / total:.0%}" if below else ""
        yield f"  super-net of {pyramid.config}, images within {width}×{height}: {levels}{small}"


def _document(found: Survey) -> dict[str, Any]:
    return {
        "layout": found.layout,
        "classes": list(found.classes),
        "made": found.made,
        "splits": {name: _split_document(own, found) for name, own in found.splits.items()},
        "unlisted": found.unlisted,
    }


def _split_document(own: SplitSurvey, found: Survey) -> dict[str, Any]:
    return {
        "source": str(own.source),
        "images": own.num_images,
        "images_without_objects": own.without_objects,
        "boxes": own.objects.total(),
        "empty_boxes": own.empty_boxes,
        "classes": dict(sorted(own.objects.items())),
        "sides": {name: own.sizes.side_at(part) for name, part in SIDES.items()},
        "levels": {
            pyramid.config: {level: own.sizes.levels.get(pyramid.config, {}).get(level, 0) for level in pyramid.levels}
            for pyramid in found.pyramids
        },
        "below_stride": {pyramid.config: own.sizes.below_stride[pyramid.config] for pyramid in found.pyramids},
        "notes": own.notes,
        "problems": own.problems,
        "num_problems": own.num_problems,
    }
