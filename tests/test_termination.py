"""Signals that end a run, wherever they meet it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from contextlib import suppress

import pytest

from opanas_cli.errors import OpanasError
from opanas_cli.termination import Terminated, asked_to_end, terminable

SIGNALS = [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)]


@pytest.mark.parametrize(("number", "raised"), SIGNALS)
@pytest.mark.parametrize("kind", [SyntaxError, OpanasError])
def test_a_signal_that_a_library_takes_for_its_own_failure(
    number: int, raised: type[BaseException], kind: type[Exception]
) -> None:
    """As mmengine does while it lays a config out."""
    with pytest.raises(raised), terminable():
        try:
            os.kill(os.getpid(), number)
        except:  # noqa: E722
            raise kind("Failed to format the config file") from None
    with pytest.raises(kind), terminable():
        raise kind("without a signal")


@pytest.mark.parametrize(("number", "raised"), SIGNALS)
def test_a_signal_that_a_library_drops(number: int, raised: type[BaseException]) -> None:
    with pytest.raises(raised), terminable(), suppress(BaseException):
        os.kill(os.getpid(), number)


@pytest.mark.parametrize(("number", "raised"), SIGNALS)
def test_a_signal_in_a_destructor(number: int, raised: type[BaseException]) -> None:
    """Python drops what is raised in one."""

    class Closing:
        def __del__(self) -> None:
            os.kill(os.getpid(), number)

    with pytest.raises(raised), terminable():
        Closing()
        time.sleep(10)


@pytest.mark.parametrize(("number", "raised"), SIGNALS)
def test_only_sigterm_waits(number: int, raised: type[BaseException]) -> None:
    done = []
    with pytest.raises(raised), terminable(), asked_to_end() as asked:
        os.kill(os.getpid(), number)
        done.append(asked())
    assert done == ([True] if number == signal.SIGTERM else [])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that are forked")
def test_workers_of_a_pool_end_silently(capfd: pytest.CaptureFixture[str]) -> None:
    """As when mmdet's VOCMetric has counted: its pool terminates them."""
    with terminable():
        pool = multiprocessing.get_context("fork").Pool(2)
        workers = list(pool._pool)
        assert pool.map(abs, [-1, -2]) == [1, 2]
        for worker in workers:
            os.kill(worker.pid, signal.SIGINT)  # A terminal's Ctrl-C goes to all processes.
        assert pool.map(abs, [-1, -2]) == [1, 2]
        pool.terminate()
        pool.join()
    assert {worker.exitcode for worker in workers} <= {0, -signal.SIGTERM}
    assert capfd.readouterr().err == ""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that are forked")
def test_a_signal_right_after_a_fork_is_not_lost() -> None:
    """A pool that is terminated while a worker starts would wait for that worker for ever."""
    with terminable():
        for _ in range(30):
            if not (child := os.fork()):
                time.sleep(3)
                os._exit(0)
            os.kill(child, signal.SIGTERM)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM


def test_an_ignored_ctrl_c_stays_ignored() -> None:
    """As in what a shell runs in the background."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with terminable():
            os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_handlers_are_put_back() -> None:
    before = [signal.getsignal(number) for number, _ in SIGNALS]
    with terminable():
        assert [signal.getsignal(number) for number, _ in SIGNALS] != before
    assert [signal.getsignal(number) for number, _ in SIGNALS] == before
