"""Keeping what libraries print and warn from the terminal."""

from __future__ import annotations

import contextlib
import io
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opanas_cli.atomic import NO_ROOM, cannot_write


@contextmanager
def quietly() -> Iterator[None]:
    """Drop what the block prints or warns; errors pass. Afterwards every warning filter is as it was.

    Meant for imports of mmdet, mmcv and mmengine, which print and warn about optional packages and moved names.
    """
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


@contextmanager
def silenced() -> Iterator[None]:
    """Keep what mmengine and pycocotools print and warn from the terminal; errors still surface.

    Among them those of a log that cannot be written, of which Python's logging prints a traceback and goes on.
    """
    with (
        _instead(logging.Handler, "handleError", _raise),
        _instead(threading, "excepthook", _tell_unless_full),
        contextlib.redirect_stdout(io.StringIO()),
        quietly(),
    ):
        yield


@contextmanager
def _instead(owner: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


def _tell_unless_full(told: threading.ExceptHookArgs) -> None:
    # TensorBoard's thread: the next to write reports the same full disk, in words.
    if not (isinstance(told.exc_value, OSError) and told.exc_value.errno in NO_ROOM):
        threading.__excepthook__(told)


def _raise(handler: logging.Handler, record: logging.LogRecord) -> None:
    error = sys.exc_info()[1]
    if isinstance(error, OSError):
        raise cannot_write(getattr(handler, "baseFilename", "the log"), error) from error
    raise
