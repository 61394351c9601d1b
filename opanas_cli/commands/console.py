"""What a running command says: the result on stdout, all else on stderr."""

from __future__ import annotations

import json
import math
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

SECONDS_BETWEEN_LINES = 10.0

Report = Callable[[int, int, str], None]
"""Called with what is done, what there is in all, and a note."""


class Console:
    """The terminal of one command.

    Args:
        quiet: say nothing but the result.
        as_json: the result is one JSON document.
    """

    def __init__(self, quiet: bool, as_json: bool) -> None:
        self.quiet = quiet
        self.as_json = as_json

    def say(self, line: str) -> None:
        """A line about what happens."""
        if not self.quiet:
            click.echo(shown(line), err=True)

    def warn(self, line: str) -> None:
        """Something that the user should know and that does not stop the command."""
        _warn(line)

    def result(self, lines: str, document: Mapping[str, Any], files: Mapping[str, Path]) -> None:
        """The end of a command: its result, and the paths of all that it wrote."""
        paths = {name: str(path) for name, path in files.items()}
        if self.as_json:
            click.echo(json.dumps({"version": 1, **_plain(document), "files": paths}, indent=2))
            return
        click.echo("\n".join(map(shown, lines.split("\n"))))
        width = max(map(len, paths), default=0)
        for name, path in paths.items():
            click.echo(f"  {name:<{width}}  {shown(path)}")

    @contextmanager
    def progress(self, title: str) -> Iterator[Report]:
        """A progress bar on a terminal, else a line now and then."""
        if self.quiet:
            yield lambda done, total, note: None
        elif sys.stderr.isatty():
            with _bar(title) as report:
                yield report
        else:
            yield _lines(title)


def shown(text: str) -> str:
    """Text in one line as a terminal may show it: what does not print, line breaks and escape codes too, is escaped.

    The names of files and classes may hold any of them.
    """
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


def joined(text: str) -> str:
    """The lines of what a library says as one."""
    return " ".join(text.split())


@contextmanager
def plain_warnings() -> Iterator[None]:
    """While the block runs, Python's warnings are lines of ours, and our own are shown whatever the filters."""
    with warnings.catch_warnings():
        for category in (UserWarning, RuntimeWarning):
            warnings.filterwarnings("always", category=category, module="opanas_cli")
        warnings.showwarning = lambda message, *_, **__: _warn(str(message))
        yield


def _warn(line: str) -> None:
    click.echo(f"opanas: warning: {shown(joined(line))}", err=True)


def _plain(value: Any) -> Any:
    """The value with null for numbers that are not finite, which JSON does not know."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@contextmanager
def _bar(title: str) -> Iterator[Report]:
    from rich.console import Console as RichConsole
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"), TimeRemainingColumn()
    with Progress(*columns, console=RichConsole(stderr=True)) as bars:
        task = bars.add_task(title, total=None, note="")

        def report(done: int, total: int, note: str) -> None:
            bars.update(task, completed=done, total=total, note=f"{done}/{total} {note}")

        yield report


def _lines(title: str) -> Report:
    last = time.monotonic()

    def report(done: int, total: int, note: str) -> None:
        nonlocal last
        if done == total or time.monotonic() - last >= SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            click.echo(f"{title}: {done}/{total} {note}", err=True)

    return report
