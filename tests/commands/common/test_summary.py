"""The table at the end of a long command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from opanas_cli.commands.common.console import Console
from opanas_cli.commands.common.summary import Part, of_networks

SPENT = {"device_seconds": 10.25, "images": 1200, "evaluations": 3, "peak_memory_mb": 512.5}
MORE = {"device_seconds": 1000.0, "images": 34, "evaluations": 0, "peak_memory_mb": 1024.0}
WHERE = Path("runs/a/x.pth")


def table(capsys: pytest.CaptureFixture[str]) -> list[list[str]]:
    return [line.split() for line in capsys.readouterr().err.splitlines()]


def test_costs_are_summed_and_memory_is_the_most(capsys: pytest.CaptureFixture[str]) -> None:
    parts = [
        Part("super-net", WHERE, [SPENT, MORE, None]),
        Part("detector", WHERE, [None], 0.25, "AP50"),
        Part("[red]\x1b[31m", WHERE, [], 0.5),
    ]
    Console(quiet=False, as_json=False).result("done", {}, {}, parts)
    assert table(capsys) == [
        ["what", "where", "seconds", "images", "peak", "MB", "figure"],
        ["super-net", "runs/a/x.pth", "1,010.2", "1,234", "1,024", "–"],
        ["detector", "runs/a/x.pth", "–", "–", "–", "AP50", "0.2500"],
        [r"[red]\x1b[31m", "runs/a/x.pth", "–", "–", "–", "AP", "0.5000"],
    ]


def test_the_trainings_of_a_network_are_one_part() -> None:
    rows: list[dict[str, Any]] = [
        {"network": "fpn", "metrics": {"AP": 0.2}, "spent": SPENT},
        {"network": "td", "metrics": {"AP": 0.5}, "spent": None},
        {"network": "fpn", "metrics": {"AP": 0.4}, "spent": MORE},
    ]
    fpn, td = of_networks(rows, WHERE, "AP")
    assert fpn == ("fpn × 2", WHERE, [SPENT, MORE], pytest.approx(0.3), "AP")
    assert td == ("td × 1", WHERE, [None], 0.5, "AP")


@pytest.mark.parametrize("console", [Console(quiet=True, as_json=False), Console(quiet=False, as_json=True)])
def test_it_is_for_people(console: Console, capsys: pytest.CaptureFixture[str]) -> None:
    def parts() -> Any:
        raise AssertionError("nobody reads them")
        yield

    console.result("done", {}, {}, parts())
    assert table(capsys) == []
