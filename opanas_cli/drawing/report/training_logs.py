"""What mmengine logged of a training: losses, figures, times, the config and the versions of what ran."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from opanas_cli.drawing.report.markup import entry, is_number
from opanas_cli.errors import InvalidInputError
from opanas_cli.regular_files import open_regular, read_regular

MAX_BYTES = 64 << 20
MOST_RUNS = 100
"""Folders of one training that are read, the newest: each time it is resumed it gets another one."""
END = 1 << 14
"""Bytes at the start and at the end of a log that are searched for times and versions."""

TIME = re.compile(r"^(\d{4}/\d\d/\d\d \d\d:\d\d:\d\d) - ", re.MULTILINE)
VERSION = re.compile(r"^ {4}(Python|CUDA available|GPU [\d,]+|PyTorch|TorchVision|MMEngine|MMDetection): (.+)", re.M)


@dataclass(frozen=True)
class Training:
    """A training as its log tells it.

    `steps` are the rows of ``scalars.json`` in order of their steps, of which those that were trained again after a
    kill count once; `tested` are the metrics on the test split, empty before the end; `seconds` pass between the first
    and the last lines of the logs. `config` has what can be read of `config_text`.
    """

    steps: list[dict[str, Any]]
    tested: dict[str, float]
    seconds: float | None
    config_text: str
    config: dict[str, Any]
    versions: dict[str, str]

    def of(self, name: str) -> list[dict[str, Any]]:
        """The rows that have a number of this name."""
        return [row for row in self.steps if is_number(row.get(name))]

    @property
    def position(self) -> str:
        """How far it is."""
        last = (self.of("epoch") or [{}])[-1]
        epochs = entry(self.config, "train_cfg", "max_epochs")
        return f"epoch {last['epoch']} of {epochs or '–'}, step {last.get('step', '–')}" if last else "begun"


def read_training(folder: Path) -> Training | None:
    """The training in a folder such as ``train-supernet``, None if there is none.

    Raises:
        InvalidInputError: a line of a log is corrupt.
        OSError: a log cannot be read.
    """
    runs = sorted(path.parent for path in folder.glob("*/vis_data"))[-MOST_RUNS:]
    if not runs:
        return None
    steps: list[dict[str, Any]] = []
    times: list[float] = []
    versions: dict[str, str] = {}
    for run in runs:
        found = [row for row in _rows(run / "vis_data" / "scalars.json") if is_number(row.get("step"))]
        first = min((row["step"] for row in found), default=float("inf"))
        steps = [*(row for row in steps if row["step"] < first), *found]
        for log in sorted(run.glob("*.log"))[:1]:
            start, end = _ends(log)
            times += _duration(TIME.findall(start)[:1] + TIME.findall(end)[-1:])
            versions = dict(VERSION.findall(start))
    text, tested = _text(runs[-1] / "vis_data" / "config.py"), _tested(runs[-1])
    return Training(steps, tested, sum(times) if times else None, text, read_config(text), versions)


def _tested(run: Path) -> dict[str, float]:
    """The metrics that mmengine writes into a file of its own when a run has been tested."""
    metrics = json.loads(_text(run / f"{run.name}.json") or "{}")
    if not isinstance(metrics, dict):
        raise InvalidInputError(f"{run.name}.json: expected an object, but got a {type(metrics).__name__}")
    return {name: value for name, value in metrics.items() if is_number(value) and "time" not in name}


def _rows(path: Path) -> Iterable[dict[str, Any]]:
    """The objects in a file of JSON lines, but a last line that is still being written."""
    lines = _text(path).split("\n")[:-1]
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line or "{}")
        except (ValueError, RecursionError) as error:
            raise InvalidInputError(f"{path.name}: line {number} is not JSON ({error})") from error
        if not isinstance(row, dict):
            raise InvalidInputError(f"{path.name}: line {number} is not an object")
        yield row


def _text(path: Path) -> str:
    return read_regular(path, MAX_BYTES).decode(errors="replace") if path.exists() else ""


def _ends(path: Path) -> tuple[str, str]:
    """The first and the last bytes of a log, as text."""
    with open_regular(path) as file:
        start = file.read(END)
        file.seek(max(0, path.stat().st_size - END))
        return start.decode(errors="replace"), file.read(END).decode(errors="replace")


def _duration(times: list[str]) -> list[float]:
    """The seconds between two times, if there are two."""
    try:
        start, end = (datetime.strptime(time, "%Y/%m/%d %H:%M:%S") for time in times)
    except ValueError:
        return []
    return [max(0.0, (end - start).total_seconds())]


def read_config(text: str) -> dict[str, Any]:
    """The settings in the text of a config, without running it; those that are no literals are left out."""
    settings: dict[str, Any] = {}
    try:
        statements = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return settings
    for statement in statements:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            try:
                settings[statement.targets[0].id] = _value(statement.value)
            except (ValueError, TypeError, RecursionError):
                continue
    return settings


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict":
        return {keyword.arg: _value(keyword.value) for keyword in node.keywords}
    if isinstance(node, (ast.List, ast.Tuple)):
        return [_value(item) for item in node.elts]
    return ast.literal_eval(node)
