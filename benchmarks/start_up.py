"""How long `--help` of each command takes as a process, and drawing the published genotype.

    python benchmarks/start_up.py [--json] [--repeat N]

Each figure is the best and the median of N runs in seconds, after one that is not counted.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from opanas_cli.commands import COMMANDS

HELP_LIMIT, VIZ_LIMIT = 0.3, 1.5
"""Seconds that a call should stay under."""


def main() -> None:
    """Measure, and print a table or a JSON document."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--device", default="cpu", help="taken as everywhere; nothing here computes on a GPU")
    parser.add_argument("--repeat", type=int, default=5, metavar="N", help="runs of each call (5)")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        rows = [measure(call, limit, options.repeat) for call, limit in calls(Path(folder))]
    if options.json:
        print(json.dumps({"version": 1, "calls": rows}, indent=2))
        return
    print(f"{'call':40} {'best s':>8} {'median s':>8} {'limit s':>8}")
    for row in rows:
        print(f"{row['call']:40} {row['best_seconds']:8.3f} {row['median_seconds']:8.3f} {row['limit_seconds']:8.1f}")


def calls(folder: Path) -> list[tuple[list[str], float]]:
    """The command lines to time, each with its limit; drawings go into `folder`."""
    helps = [["--help"], *([command, "--help"] for command in COMMANDS)]
    files = [["-o", str(folder / f"drawing.{suffix}")] for suffix in ("svg", "png", "pdf", "html", "dot", "mmd")]
    return [(call, HELP_LIMIT) for call in helps] + [(["viz", "opa-fpn", *file], VIZ_LIMIT) for file in ([], *files)]


def measure(call: list[str], limit: float, repeat: int) -> dict[str, object]:
    """The best and the median time of one command line."""
    seconds = [run(call) for _ in range(repeat + 1)][1:]
    shown = " ".join(["opanas", *(Path(word).name for word in call)])
    return {
        "call": shown,
        "best_seconds": min(seconds),
        "median_seconds": statistics.median(seconds),
        "limit_seconds": limit,
    }


def run(call: list[str]) -> float:
    """The seconds that one process takes; a call that fails ends the benchmark with its message."""
    start = time.perf_counter()
    process = subprocess.run([sys.executable, "-m", "opanas_cli", *call], capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    if process.returncode:
        sys.exit(f"opanas {' '.join(call)} failed with exit code {process.returncode}:\n{process.stderr}")
    return seconds


if __name__ == "__main__":
    main()
