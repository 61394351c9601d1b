"""What mmengine logged of a training: losses, figures, times, the config and the versions of what ran."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from opanas_cli.drawing.report.markup import is_number
from opanas_cli.errors import InvalidInputError
from opanas_cli.regular_files import read_regular

MAX_BYTES = 64 << 20
MOST_RUNS = 100
"""Folders of one training that are read, the newest: each time it is resumed it gets another one."""

TIME = re.compile(r"^(\d{4}/\d\d/\d\d \d\d:\d\d:\d\d) - ", re.MULTILINE)
VERSION = re.compile(r"^ {4}(Python|CUDA available|GPU [\d,]+|PyTorch|TorchVision|MMEngine): (.+)", re.MULTILINE)
SETTINGS = {
    "data": re.compile(r"^data_root = '(.*)'$", re.MULTILINE),
    "epochs": re.compile(r"\bmax_epochs=(\d+)"),
    "seed": re.compile(r"^randomness = .*\bseed=(\d+)", re.MULTILINE),
    "neck": re.compile(r"\bgenotype=\[([\w', \n]*)\]"),
}
"""What is looked for in a config's text, which is not run."""


@dataclass(frozen=True)
class Training:
    """A training as its log tells it.

    `steps` are the rows of ``scalars.json`` in order of their steps; of steps that were done again after a kill, the
    later row. `tested` are the metrics on the test split, empty before the end. `seconds` pass between the first and
    the last lines of the logs. `settings` and `versions` are what is found of those that are looked for.
    """

    steps: list[dict[str, Any]]
    tested: dict[str, float]
    seconds: float
    config: str
    settings: dict[str, str]
    versions: dict[str, str]

    def having(self, name: str) -> list[dict[str, Any]]:
        """The rows with a number of this name."""
        return [row for row in self.steps if is_number(row.get(name))]

    def position(self, has_ended: bool) -> str:
        """How far it is: the log has no row of the last steps."""
        epochs = self.settings.get("epochs", "–")
        if has_ended:
            return f"all {epochs} epochs"
        last = (self.having("epoch") or [{"epoch": 0, "step": 0}])[-1]
        return f"epoch {last['epoch']} of {epochs}, step {last['step']}"


def read_training(folder: Path) -> Training | None:
    """The training in a folder such as ``train-supernet``, None if there is none.

    Raises:
        InvalidInputError: a log is corrupt.
        OSError: a log cannot be read.
    """
    runs = sorted(path.parent for path in folder.glob("*/vis_data"))[-MOST_RUNS:]
    if not runs:
        return None
    steps: list[dict[str, Any]] = []
    seconds = 0.0
    log = ""
    for run in runs:
        found = [row for row in _rows(run / "vis_data" / "scalars.json") if is_number(row.get("step"))]
        first = min((row["step"] for row in found), default=float("inf"))
        steps = [*(row for row in steps if row["step"] < first), *found]
        log = _text(run / f"{run.name}.log")
        seconds += _duration(TIME.findall(log))
    config = _text(runs[-1] / "vis_data" / "config.py")
    settings = {name: match[1] for name, pattern in SETTINGS.items() if (match := pattern.search(config))}
    # mmengine writes the metrics of a test into a file of their own.
    (tested,) = _objects(runs[-1] / f"{runs[-1].name}.json", [_text(runs[-1] / f"{runs[-1].name}.json") or "{}"])
    figures = {name: value for name, value in tested.items() if is_number(value) and "time" not in name}
    return Training(steps, figures, seconds, config, settings, dict(VERSION.findall(log)))


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    """The objects in a file of JSON lines, but a last line that is still being written."""
    return _objects(path, _text(path).split("\n")[:-1])


def _objects(path: Path, texts: list[str]) -> Iterator[dict[str, Any]]:
    for number, text in enumerate(texts, 1):
        try:
            row = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InvalidInputError(f"{path.name}: line {number} is not JSON ({error})") from error
        if not isinstance(row, dict):
            raise InvalidInputError(f"{path.name}: line {number} is not an object")
        yield row


def _text(path: Path) -> str:
    return read_regular(path, MAX_BYTES).decode(errors="replace") if path.exists() else ""


def _duration(times: list[str]) -> float:
    """The seconds between the first and the last of some times."""
    if not times:
        return 0.0
    start, end = (datetime.strptime(time, "%Y/%m/%d %H:%M:%S") for time in (times[0], times[-1]))
    return max(0.0, (end - start).total_seconds())
