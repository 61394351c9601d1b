"""What a running command says: the result on stdout, all else on stderr."""

from __future__ import annotations

import io
import json
import math
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from opanas_cli.errors import OpanasError

if TYPE_CHECKING:
    from rich.console import Console as RichConsole
    from rich.progress import Progress as Bars

    from opanas_cli.commands.common.summary import Part
    from opanas_cli.detection.training.progress import TrainingStep
    from opanas_cli.search import Progress

SECONDS_BETWEEN_LINES = 10.0

MOST_CHARACTERS = 1000
"""The longest error or warning that is printed; a longer one is cut in its middle, as its end says what to do."""

Report = Callable[[int, int, str], None]
"""Called with the number done, the total and a note."""


class Result(NamedTuple):
    """What a command ends with: lines for people, the same as a document, and the paths of all files that it wrote.

    `parts` of its work are a table of their own for people; they are asked for only if it is shown.
    """

    lines: str
    document: Mapping[str, Any]
    files: Mapping[str, Path]
    parts: Iterable[Part] = ()

    def whole_document(self) -> dict[str, Any]:
        """What ``--json`` prints."""
        return {"version": 1, **self.document, "files": {name: str(path) for name, path in self.files.items()}}


class Console:
    """The terminal of one command.

    Args:
        quiet: print only the result.
        as_json: the result is one JSON document.
    """

    def __init__(self, quiet: bool, as_json: bool) -> None:
        self.quiet = quiet
        self.as_json = as_json
        self._stages: dict[str, str] = {}
        self._bars: Bars | None = None

    def say(self, line: str) -> None:
        """A line about what happens."""
        if not self.quiet:
            click.echo(shown(line), err=True)

    def warn(self, line: str) -> None:
        """A line about something that does not stop the command, even if it is quiet."""
        _warn(line)

    def result(
        self, lines: str, document: Mapping[str, Any], files: Mapping[str, Path], parts: Iterable[Part] = ()
    ) -> None:
        """The end of a command: its result, and the paths of all files that it wrote; see `Result`."""
        if self.as_json:
            self.print_document(Result(lines, document, files).whole_document())
            return
        click.echo("\n".join(map(shown, lines.split("\n"))))
        width = max(map(len, files), default=0)
        for name, path in files.items():
            click.echo(f"  {name:<{width}}  {shown(str(path))}")
        if parts and not self.quiet:
            from opanas_cli.commands.common.several_processes import is_follower
            from opanas_cli.commands.common.summary import print_summary

            if not is_follower():
                print_summary(parts)

    @staticmethod
    def print_document(document: Mapping[str, Any]) -> None:
        """Print the one JSON document of a command; documents.schema.json is its schema."""
        click.echo(json.dumps(_plain(document), indent=2))

    @contextmanager
    def progress(self, title: str) -> Iterator[Report]:
        """A progress bar on a terminal, else a line now and then."""
        name = self._stages.get(title, title)
        if self.quiet:
            yield lambda done, total, note: None
        elif not sys.stderr.isatty():
            yield _lines(name)
        else:
            with nullcontext(self._bars) if self._bars else _new_bars() as bars:
                yield _bar(bars, name)

    @contextmanager
    def stages(self, *titles: str) -> Iterator[None]:
        """While the block runs, the progress of these stages is one display: each has its number, and a bar at once."""
        self._stages = {title: f"{number}/{len(titles)} {title}" for number, title in enumerate(titles, 1)}
        if self.quiet or not sys.stderr.isatty():
            yield
            return
        with _new_bars() as self._bars:
            for name in self._stages.values():
                self._bars.add_task(name, total=1, note="")
            yield
        self._bars = None

    @contextmanager
    def training(self, title: str) -> Iterator[Callable[[TrainingStep], None]]:
        """The progress of a training, which calls back after each step."""
        with self.progress(title) as report:
            yield lambda at: report(at.step, at.steps, f"epoch {at.epoch}/{at.epochs}, loss {at.loss:.3f}")

    def say_finished(self, path: Path) -> None:
        """A line about a resumed run that had nothing left to do."""
        self.say(f"{path}: is already finished; nothing to do")


def shown(text: str) -> str:
    """Text with all unprintable characters escaped, such as line breaks and escape codes in the names of files."""
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


def joined(text: str) -> str:
    """The lines of a library's message as one."""
    return " ".join(text.split())


class _ClosedOutput(io.TextIOBase):
    def write(self, text: str) -> int:
        if text:
            raise OpanasError(
                "stdout: is closed, so the result cannot be printed; leave it open, or redirect it to a file"
            )
        return 0


@contextmanager
def output() -> Iterator[None]:
    """While the block runs, a result that cannot be printed is an OpanasError or OSError; its end flushes stdout."""
    if sys.stdout is not None:
        yield
        sys.stdout.flush()
        return
    sys.stdout = _ClosedOutput()
    try:
        yield
    finally:
        sys.stdout = None


@contextmanager
def plain_warnings() -> Iterator[None]:
    """While the block runs, warnings are printed as our lines, and our own are shown whatever the filters."""
    with warnings.catch_warnings():
        for category in (UserWarning, RuntimeWarning):
            warnings.filterwarnings("always", category=category, module="opanas_cli")
        warnings.showwarning = lambda message, *_, **__: _warn(str(message))
        yield


def complain(text: str) -> None:
    """Print an error or a warning in one line that is not too long. If stderr is closed or full, nothing is printed."""
    with suppress(OSError):
        click.echo(f"opanas: {_cut(shown(_cut(text)))}", err=True)


def _cut(text: str) -> str:
    """A text without its middle if it is too long. Escaping lengthens it, and must not take long."""
    left_out, half = len(text) - MOST_CHARACTERS, MOST_CHARACTERS // 2
    return f"{text[:half]} [{left_out} more characters] {text[-half:]}" if left_out > 0 else text


def _warn(line: str) -> None:
    complain(f"warning: {joined(line)}")


def rich_console(stderr: bool = False) -> RichConsole:
    """A console of rich, which would print nothing if COLUMNS were 0."""
    from rich.console import Console as RichConsole

    console = RichConsole(stderr=stderr, highlight=False)
    console.width = console.width or 80
    return console


def _plain(value: Any) -> Any:
    """The value with null for numbers that are not finite, which JSON does not have."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _new_bars() -> Bars:
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"), TimeRemainingColumn()
    return Progress(*columns, console=rich_console(stderr=True))


def _bar(bars: Bars, title: str) -> Report:
    """Reports to the bar of a title, which begins now."""
    waiting = [task.id for task in bars.tasks if task.description == title]
    task = waiting[0] if waiting else bars.add_task(title, note="")
    bars.reset(task, total=None)

    def report(done: int, total: int, note: str) -> None:
        bars.update(task, completed=done, total=total, note=f"{done}/{total} {note}")

    return report


def _lines(title: str) -> Report:
    last = time.monotonic()
    first: tuple[int, float] | None = None

    def report(done: int, total: int, note: str) -> None:
        nonlocal last, first
        now = time.monotonic()
        began, started = first = first or (done, now)  # A resumed run begins late.
        if done == total or now - last >= SECONDS_BETWEEN_LINES:
            last = now
            left = ""
            if began < done < total:
                left = f", {duration((now - started) / (done - began) * (total - done))} left"
            click.echo(f"{title}: {done}/{total} {note}{left}", err=True)

    return report


def duration(seconds: float) -> str:
    """Seconds in the unit that suits."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


class SearchProgress:
    """Reports each candidate to a progress bar, and between candidates the images.

    Several candidates are evaluated in one pass over the images, so they come in bursts.
    """

    def __init__(self, report: Report) -> None:
        self.report = report
        self.done = 0
        self.note = "generation 0"

    def candidate(self, progress: Progress) -> None:
        """The fitness of one more candidate is known."""
        self.done += 1
        self.note = f"generation {progress.candidate.proposal.generation}, best {progress.best.fitness:.4f}"
        self.report(self.done, progress.total, self.note)

    def images(self, done: int, images: int, total: int) -> None:
        """`done` of the pass's `images` are done, in a search of `total` candidates."""
        self.report(self.done, total, f"{self.note}, images {done}/{images}")
