"""Runs a command many times and kills it each time; a program of its own, for it forks.

    python killed_runs.py FOLDER < jobs.json

A job is {"name": …, "arguments": […], "kills": …, "seed": …}; ``WORK`` in its arguments stands for the work dir. Each
command runs once undisturbed in FOLDER/NAME/whole. Then it runs in FOLDER/NAME/killed, is killed (SIGKILL) at a random
moment, and goes on with --resume, until it was killed so often; it is begun anew in another folder where it ended
before that. All folders are left for the caller to compare, and what happened is printed as JSON; ``within_pass``
counts the kills in a pass over the images of which something was kept.

The processes are forks of this one, so that mmdet is imported once. It must not have computed anything itself: threads
do not survive a fork.
"""

from __future__ import annotations

import gc
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import yapf.yapflib.yapf_api

import opanas_cli.detection.searching
import opanas_cli.detection.training.retraining
from opanas_cli.commands import run
from opanas_cli.detection.evaluating.unfinished_pass import UnfinishedPass
from opanas_cli.detection.spent import Meter

KILLED = -signal.SIGKILL
WITHIN_PASS = 4
"""Of so many kills of a search one comes when something more was kept, the others come at random moments."""


def child(arguments: list[str], log: Path) -> int:
    """A process that runs a command; its id."""
    process = os.fork()
    if process:
        return process
    code = 1
    try:
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        code = run(arguments)
    finally:
        sys.stderr.flush()
        os._exit(code)


def ended(process: int, seconds: float, until: Callable[[], bool] = lambda: False) -> int | None:
    """The exit code of a process, or None if it takes longer, or than it takes until something is so."""
    deadline = time.monotonic() + seconds
    while True:
        found, status = os.waitpid(process, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline or until():
            return None
        time.sleep(0.002)


def kept_files(work_dir: Path) -> set[Path]:
    """What was kept of the pass over the images that a search is in."""
    return set((work_dir / "evolve").glob("[!.]*.npz"))


def until_first_trace(process: int, folder: Path, pattern: str) -> float:
    """The seconds until a run has left something to resume from."""
    started = time.monotonic()
    while not list(folder.glob(pattern)):
        if time.monotonic() - started > 60:
            raise TimeoutError(pattern)
        time.sleep(0.002)
    return time.monotonic() - started


def attacked(job: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Run one job; see the module."""
    rng = random.Random(job["seed"])
    folder.mkdir(parents=True)
    arguments = [str(folder / "whole") if part == "WORK" else part for part in job["arguments"]]
    started = time.monotonic()
    process = child(arguments, folder / "whole.log")
    start_up = until_first_trace(process, folder / "whole", job["trace"])
    code = ended(process, 120)
    total = time.monotonic() - started
    ends: list[int] = [] if code == 0 else [code or 1]
    kills, finished, within_pass = 0, 0, 0
    while kills < job["kills"] and not ends:
        work_dir = folder / f"killed-{finished}"
        before = kept_files(work_dir)
        process = child(
            [str(work_dir) if part == "WORK" else part for part in job["arguments"]] + ["--resume"],
            folder / "killed.log",
        )
        # From the middle of starting up on, as far as a kill in every tenth of the run needs.
        moment = rng.uniform(0.5 * start_up, start_up + 0.15 * (total - start_up))
        if job["name"] == "evolve" and kills % WITHIN_PASS == 0:
            code = ended(process, 60, lambda work_dir=work_dir, before=before: bool(kept_files(work_dir) - before))
        else:
            code = ended(process, moment)
        if code is None:
            os.kill(process, signal.SIGKILL)
            code = ended(process, 10)
        if code == KILLED:
            kills += 1
            within_pass += bool(kept_files(work_dir))
        elif code == 0:
            finished += 1
        else:
            ends.append(code or 1)
    work_dir = folder / f"killed-{finished}"
    last = [str(work_dir) if part == "WORK" else part for part in job["arguments"]] + ["--resume"]
    code = ended(child(last, folder / "killed.log"), 120)
    ends += [] if code == 0 else [code or 1]
    counts = {"kills": kills, "within_pass": within_pass, "finished": finished + 1}
    return {**counts, "failures": ends, "seconds": total, "start_up": start_up}


def main() -> None:
    torch.set_num_threads(1)
    # Half of the start of a run is to lay configs out prettily, and much of the rest to collect what is no garbage.
    yapf.yapflib.yapf_api.FormatCode = lambda text, **_: (text, True)
    # Keeps what a pass has found after every batch, so that kills meet some of it.
    opanas_cli.detection.searching.UnfinishedPass = partial(UnfinishedPass, seconds=0)
    Meter.measured = lambda self: (0.0, 0.0)  # type: ignore[method-assign]
    gc.freeze()
    folder = Path(sys.argv[1])
    report = {job["name"]: attacked(job, folder / job["name"]) for job in json.load(sys.stdin)}
    print(json.dumps(report))


if __name__ == "__main__":
    main()
