"""SIGTERM ends a loader's worker when its parent sends it, and not when it goes to all processes of a run."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from opanas_cli.detection.processes.loader_workers import OutlivingLoader

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


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    """The pool of threads that torch starts again in each worker, with as many threads as here."""
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


def started(init: Callable[[int], Any] | None = None) -> tuple[Any, Any]:
    """An iterator that has given one sample, and its worker."""
    batches = iter(OutlivingLoader(Numbers(), batch_size=None, num_workers=1, worker_init_fn=init))
    assert next(batches)[0] == 0
    return batches, batches._workers[0]


def test_the_signal_of_another_process_is_nothing() -> None:
    batches, worker = started()
    for _ in range(8):
        subprocess.run(["kill", "-TERM", str(worker.pid)], check=True)
    assert [index for index, _ in batches] == list(range(1, 40))


def test_the_signal_of_the_parent_ends_it() -> None:
    _batches, worker = started()
    os.kill(worker.pid, signal.SIGTERM)
    worker.join(10)
    assert worker.exitcode == 0


def test_what_else_a_worker_begins_with_is_done() -> None:
    batches, _worker = started(begin)
    assert list(next(batches)) == [1, 0]
