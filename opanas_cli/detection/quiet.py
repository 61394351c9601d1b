"""Keeping the output and the warnings of libraries off the terminal."""

from __future__ import annotations

import contextlib
import io
import logging
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from opanas_cli.atomic import NO_ROOM, cannot_write


@contextmanager
def quietly() -> Iterator[None]:
    """Drop the output and the warnings of the block, not its errors. Afterwards all warning filters are as before.

    Meant for imports of mmdet, mmcv and mmengine, which print and warn about optional packages and moved names.
    """
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


@contextmanager
def silenced() -> Iterator[None]:
    """Keep the output and the warnings of mmengine and pycocotools off the terminal, but not errors.

    A log that cannot be written is an error, too: Python's logging would print a traceback and continue.
    """
    # It stays, as a thread may be the last to say what has ended the block.
    if getattr(threading.excepthook, "func", None) is not _print_unless_full:
        threading.excepthook = partial(_print_unless_full, threading.excepthook)
    with instead(logging.Handler, "handleError", _raise), quietly():
        yield


@contextmanager
def instead(owner: Any, name: str, value: Any) -> Iterator[None]:
    """While the block runs, an attribute has another value."""
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


def _print_unless_full(otherwise: Callable[[Any], Any], raised: threading.ExceptHookArgs) -> None:
    # TensorBoard's thread: whatever writes next reports the same full disk.
    if not (isinstance(raised.exc_value, OSError) and raised.exc_value.errno in NO_ROOM):
        otherwise(raised)


def _raise(handler: logging.Handler, record: logging.LogRecord) -> None:
    error = sys.exc_info()[1]
    if isinstance(error, OSError):
        raise cannot_write(getattr(handler, "baseFilename", "the log"), error) from error
    raise
