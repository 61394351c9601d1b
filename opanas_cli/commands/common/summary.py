"""The table at the end of a long command: what each part of its work cost, and the figure that it reached."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from opanas_cli.commands.common.console import rich_console, shown

UNKNOWN = "–"


class Part(NamedTuple):
    """A part of the work: what it is, where its result is, what it cost, and its figure, None if it has none.

    `spent` are documents of `opanas_cli.detection.spent.Spent`, one for each run; None of one whose cost is not known.
    """

    what: str
    where: Path
    spent: Sequence[Mapping[str, float] | None]
    figure: float | None = None
    metric: str = "AP"


def print_summary(parts: Iterable[Part]) -> None:
    """Print the table to stderr."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for name in ("what", "where"):
        table.add_column(name, overflow="fold")
    for name in ("seconds", "images", "peak MB", "figure"):
        table.add_column(name, justify="right", no_wrap=True)
    for part in parts:
        table.add_row(Text(shown(part.what)), Text(shown(str(part.where))), *_cells(part))
    rich_console(stderr=True).print(table)


def of_networks(rows: Iterable[Mapping[str, Any]], where: Path, metric: str) -> list[Part]:
    """A part for each network of some trainings, whose rows have `network`, `metrics` and `spent`; means over seeds."""
    by_network: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        by_network.setdefault(row["network"], []).append(row)
    return [
        Part(
            f"{name} × {len(own)}",
            where,
            [row.get("spent") for row in own],
            sum(row["metrics"][metric] for row in own) / len(own),
            metric,
        )
        for name, own in by_network.items()
    ]


def _cells(part: Part) -> list[str]:
    known = [one for one in part.spent if one]
    figure = UNKNOWN if part.figure is None else f"{part.metric} {part.figure:.4f}"
    if not known:
        return [*[UNKNOWN] * 3, figure]
    seconds, images = (sum(one[name] for one in known) for name in ("device_seconds", "images"))
    return [f"{seconds:,.1f}", f"{images:,.0f}", f"{max(one['peak_memory_mb'] for one in known):,.0f}", figure]
