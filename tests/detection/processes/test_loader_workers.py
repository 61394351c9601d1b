"""SIGTERM ends a loader's worker when its parent sends it, and not when it goes to all processes of a run."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from torch.utils.data import DataLoader

from opanas_cli.detection.processes.loader_workers import outliving_sigterm

pytestmark = pytest.mark.skipif(not hasattr(signal, "sigwaitinfo"), reason="needs to know who sent a signal")


class Numbers:
    """A data set whose samples tell which worker has begun."""

    begun: int | None = None

    def __len__(self) -> int:
        return 40

    def __getitem__(self, index: int) -> tuple[int, int | None]:
        return index, Numbers.begun


def begin(worker: int) -> None:
    Numbers.begun = worker


def started(init: Callable[[int], Any]) -> tuple[Any, Any]:
    """An iterator that has given one sample, and its worker."""
    batches = iter(DataLoader(Numbers(), batch_size=None, num_workers=1, worker_init_fn=init))
    assert next(batches)[0] == 0
    return batches, batches._workers[0]


def test_the_signal_of_another_process_is_nothing() -> None:
    batches, worker = started(outliving_sigterm())
    for _ in range(2):
        subprocess.run(["kill", "-TERM", str(worker.pid)], check=True)
    assert [index for index, _ in batches] == list(range(1, 40))


def test_the_signal_of_the_parent_ends_it() -> None:
    _batches, worker = started(outliving_sigterm())
    os.kill(worker.pid, signal.SIGTERM)
    worker.join(10)
    assert worker.exitcode == 0


def test_what_else_a_worker_begins_with_is_done() -> None:
    batches, _worker = started(outliving_sigterm(begin))
    assert list(next(batches)) == [1, 0]
