"""Waiting for other processes for longer than a collective may: as long as each of them shows that it is alive.

torchrun ends the processes on the machine of one that failed, and those on other machines only if it restarts them all.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch.distributed as torch_dist

SECONDS_BETWEEN_BEATS = 5.0

SECONDS_WITHOUT_BEAT = 600.0
"""How long a process may be silent: reading the largest annotation file stops all of its threads for minutes."""

SHORTEST_POLL, LONGEST_POLL = 0.001, 0.5


class LostProcessError(RuntimeError):
    """Another process of the run left it, or shows no sign of life any more."""


_waits: list[Callable[[], None]] = []


@contextmanager
def present(store: torch_dist.Store, rank: int, size: int) -> Iterator[None]:
    """While the block runs, this process shows the others that it is alive, and `wait_for_all` waits for them."""
    ended = threading.Event()
    calls = itertools.count()

    def beat() -> None:
        with contextlib.suppress(RuntimeError):  # The store has ended; `wait` reports that.
            while not ended.wait(SECONDS_BETWEEN_BEATS):
                store.add(f"beat/{rank}", 1)

    def wait() -> None:
        here = f"here/{next(calls)}"
        store.add(here, 1)
        beats, heard, poll = [-1] * size, [0.0] * size, SHORTEST_POLL
        while store.add(here, 0) < size:
            for other in range(size):
                beat = store.add(f"beat/{other}", 0)
                if beat != beats[other]:
                    beats[other], heard[other] = beat, time.monotonic()
                if store.check([f"left/{other}"]) or time.monotonic() - heard[other] > SECONDS_WITHOUT_BEAT:
                    raise LostProcessError(f"rank {other} left it or shows no sign of life")
            time.sleep(poll)
            poll = min(2 * poll, LONGEST_POLL)

    threading.Thread(target=beat, daemon=True).start()
    _waits.append(wait)
    try:
        yield
    except BaseException:
        with contextlib.suppress(RuntimeError):
            store.set(f"left/{rank}", "")
        raise
    finally:
        _waits.pop()
        ended.set()


def wait_for_all() -> None:
    """Return once all processes have called this as often, however long that takes; one process alone does not wait.

    Raises LostProcessError if another process failed or died.
    """
    try:
        for wait in _waits[-1:]:
            wait()
    except RuntimeError as error:  # The store may be in a process that has ended.
        raise LostProcessError(f"waited for another process of this run: {error}") from error
