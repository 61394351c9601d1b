"""SIGTERM, by which schedulers end a job, and Ctrl-C: exceptions, or a request for work that must be saved first."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any

from opanas_cli.errors import OpanasError

SECONDS_TO_TRY_AGAIN = 0.1


class Terminated(BaseException):
    """The process got SIGTERM. Not an Exception, so that no `except Exception` on the way catches it."""


EXCEPTIONS: dict[int, type[BaseException]] = {signal.SIGTERM: Terminated, signal.SIGINT: KeyboardInterrupt}


class _Request:
    """The handler of both signals."""

    def __init__(self) -> None:
        self.waits = False
        self.forget()

    def forget(self) -> None:
        self.asked = False
        self.raised: type[BaseException] | None = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.asked = self.asked or number == signal.SIGTERM
        if number == signal.SIGINT or not self.waits:
            self.raised = EXCEPTIONS[number]
            raise self.raised


_request = _Request()


_unblocked = threading.local()


def _block() -> None:
    """Before a fork: Python drops a signal that the new process gets before its interpreter is ready."""
    _unblocked.mask = signal.pthread_sigmask(signal.SIG_BLOCK, EXCEPTIONS)


def _unblock() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _unblocked.mask)


def _leave_to_parent() -> None:
    """In a forked process, such as a worker of a pool: only the parent acts on signals, and ends its workers by one."""
    for number, action in ((signal.SIGTERM, signal.SIG_DFL), (signal.SIGINT, signal.SIG_IGN)):
        if signal.getsignal(number) is _request:
            signal.signal(number, action)
    _unblock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_block, after_in_parent=_unblock, after_in_child=_leave_to_parent)


@contextmanager
def terminable() -> Iterator[None]:
    """While the block runs, SIGTERM raises `Terminated` in it, and SIGINT `KeyboardInterrupt` unless it is ignored.

    If a library drops the exception, or takes it for a failure of its own and raises that, it is raised again here; in
    code whose exceptions Python drops, such as destructors, the signal is sent again. In a thread that gets no signals
    nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in EXCEPTIONS}
    dropped = sys.unraisablehook
    _request.forget()
    try:
        sys.unraisablehook = partial(_send_again, dropped)
        for number, handler in before.items():
            if handler is not signal.SIG_IGN or number == signal.SIGTERM:
                signal.signal(number, _request)
        yield
        if _request.raised is not None:
            raise _request.raised
    except Exception as error:
        if _request.raised is None:
            raise
        raise _request.raised from error
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        sys.unraisablehook = dropped
        _request.forget()


def _send_again(otherwise: Callable[[Any], None], dropped: Any) -> None:
    for number, kind in EXCEPTIONS.items():
        if isinstance(dropped.exc_value, kind):
            again = threading.Timer(SECONDS_TO_TRY_AGAIN, os.kill, (os.getpid(), number))
            again.daemon = True
            again.start()
            return
    otherwise(dropped)


@contextmanager
def asked_to_end() -> Iterator[Callable[[], bool]]:
    """While the block runs, SIGTERM raises nothing; the block asks whether it came, and raises `Terminated` itself.

    If the block ends without having done so, this does; also if it ends by an error that is not an OpanasError, since
    what it works with may have been terminated too.
    """
    _request.waits = True
    try:
        yield lambda: _request.asked
    except Exception as error:
        if _request.asked and not isinstance(error, OpanasError):
            raise Terminated from error
        raise
    finally:
        _request.waits = False
    if _request.asked:
        raise Terminated
