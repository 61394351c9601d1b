"""SIGTERM, by which schedulers end a job: an exception, or for work that first wants to be saved a wish."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from opanas_cli.errors import OpanasError


class Terminated(BaseException):
    """The process was told to end. No error, so that no `except Exception` on the way keeps it."""


class _Wish:
    def __init__(self) -> None:
        self.waits = False
        self.asked = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        if not self.waits:
            raise Terminated


_wish = _Wish()


@contextmanager
def terminable() -> Iterator[None]:
    """While the block runs, SIGTERM raises `Terminated` in it. In a thread that gets no signals nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _wish)
    _wish.asked = False
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        _wish.asked = False


@contextmanager
def asked_to_end() -> Iterator[Callable[[], bool]]:
    """While the block runs, SIGTERM raises nothing; the block asks whether it came, and raises `Terminated` itself.

    Where the block ends without having done so, this does; also where it ends by an error that is none of ours, for
    what it works with may have been told to end as well.
    """
    _wish.waits = True
    try:
        yield lambda: _wish.asked
    except Exception as error:
        if _wish.asked and not isinstance(error, OpanasError):
            raise Terminated from error
        raise
    finally:
        _wish.waits = False
    if _wish.asked:
        raise Terminated
