"""Processes, here threads, that wait for each other for as long as they live."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest
import torch.distributed as torch_dist

from opanas_cli.detection.processes import presence
from opanas_cli.detection.processes.presence import LostProcessError, present, wait_for_all


def in_two_threads(monkeypatch: pytest.MonkeyPatch, *work: Callable[[Callable[[], None]], Any]) -> list[Any]:
    """What two threads give; each is handed its `wait_for_all`."""
    monkeypatch.setattr(presence, "SECONDS_BETWEEN_BEATS", 0.02)
    monkeypatch.setattr(presence, "SECONDS_WITHOUT_BEAT", 0.5)
    store = torch_dist.HashStore()

    def act(rank: int) -> Any:
        with ExitStack() as stack:
            with taking:  # All threads share the module, so each takes its own function out of it.
                stack.enter_context(present(store, rank, len(work)))
                wait = presence._waits[-1]
            return work[rank](wait)

    taking = threading.Lock()
    with ThreadPoolExecutor() as pool:
        futures = [pool.submit(act, rank) for rank in range(len(work))]
    return [future.exception() or future.result() for future in futures]


def test_a_process_alone_waits_for_none() -> None:
    wait_for_all()


def test_a_process_that_works_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def work(wait: Callable[[], None]) -> bool:
        time.sleep(1.5)
        wait()
        done.append(True)
        wait()
        return True

    def follow(wait: Callable[[], None]) -> bool:
        wait()
        wait()
        return bool(done)

    done: list[bool] = []
    assert in_two_threads(monkeypatch, work, follow) == [True, True]


def test_a_process_that_fails_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(wait: Callable[[], None]) -> None:
        time.sleep(0.1)
        raise ValueError("broken")

    failed, waited = in_two_threads(monkeypatch, fail, lambda wait: wait())
    assert isinstance(failed, ValueError)
    assert isinstance(waited, LostProcessError)
    assert "rank 0" in str(waited)


def test_a_process_that_is_silent_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent(torch_dist.HashStore):  # type: ignore[misc]
        """A store in which the first process's beats get lost."""

        def add(self, key: str, amount: int) -> int:
            return int(super().add(key, 0 if key == "beat/0" else amount))

    monkeypatch.setattr(torch_dist, "HashStore", Silent)

    def sleep(wait: Callable[[], None]) -> None:
        time.sleep(2.0)

    start = time.monotonic()
    _, waited = in_two_threads(monkeypatch, sleep, lambda wait: _timed(wait, start))
    assert waited < 1.5


def test_a_store_that_is_gone_is_a_lost_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone() -> None:
        raise RuntimeError("Broken pipe")

    monkeypatch.setattr(presence, "_waits", [gone])
    with pytest.raises(LostProcessError, match="Broken pipe"):
        wait_for_all()


def _timed(wait: Callable[[], None], start: float) -> float:
    with pytest.raises(LostProcessError):
        wait()
    return time.monotonic() - start
