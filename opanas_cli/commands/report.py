"""``opanas report``: one page of all that is in a work dir."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from opanas_cli.commands.common.console import Console
from opanas_cli.commands.common.options import common_options, output_option
from opanas_cli.errors import UsageError

if TYPE_CHECKING:
    from opanas_cli.drawing.report import WorkDir

SECONDS_BETWEEN_LOOKS = 5


@click.command()
@click.argument("work_dir", type=click.Path(path_type=Path), metavar="WORK_DIR")
@output_option("Output file.  [default: report.html in WORK_DIR]")
@click.option("--watch", is_flag=True, help="Write the page anew whenever it changes, until Ctrl-C; it reloads itself.")
@common_options
def report(work_dir: Path, output: Path | None, watch: bool, console: Console) -> None:
    """Write one page of all that is in WORK_DIR, also while a search runs.

    Reads what the other commands have written into WORK_DIR so far; says what is missing and what cannot be read.
    Writes FILE, which loads nothing from elsewhere.

    \b
    Example:
      opanas report runs/quickstart
    """
    if watch and console.as_json:
        raise UsageError("--watch: does not end, so it has no result to print; leave out --json")
    from opanas_cli.drawing.report import read_work_dir

    path = output or work_dir / "report.html"
    found = read_work_dir(work_dir)
    if watch:
        _watch(work_dir, path, console)
        return
    _write(found, path)
    _show(found, path, console)


def _write(found: WorkDir, path: Path, before: str = "", reload_seconds: int | None = None) -> str:
    """Write the page unless it is as before, and return it."""
    from opanas_cli.atomic import write_atomically
    from opanas_cli.drawing.report import to_page

    page = to_page(found, reload_seconds)
    if page != before:
        write_atomically(path, page)
    return page


def _watch(work_dir: Path, path: Path, console: Console) -> None:
    """Write the page again and again; at the end once more, as one that does not reload."""
    from opanas_cli.drawing.report import read_work_dir

    page = ""
    console.say(f"{path}: is written whenever it changes; press Ctrl-C to stop")
    try:
        while True:
            page = _write(read_work_dir(work_dir), path, page, SECONDS_BETWEEN_LOOKS)
            time.sleep(SECONDS_BETWEEN_LOOKS)
    finally:
        _write(read_work_dir(work_dir), path)


def _show(found: WorkDir, path: Path, console: Console) -> None:
    lines = [f"candidates: {len(found.candidates)}, retrained detectors: {len(found.trained)}"]
    if found.missing:
        lines.append(f"not there yet: {', '.join(found.missing)}")
    lines += [f"cannot be read: {name}: {reason}" for name, reason in found.problems.items()]
    document = {
        "candidates": len(found.candidates),
        "retrained": sorted(found.trained),
        "missing": found.missing,
        "problems": found.problems,
    }
    console.result("\n".join(lines), document, {"report": path})
