"""What libraries print is dropped, but not what goes wrong."""

from __future__ import annotations

import errno
import threading
from typing import Any

import pytest

from opanas_cli.detection.quiet import silenced


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), ValueError("another")])
def test_a_thread_that_fails_when_the_block_has_ended(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """As TensorBoard's does at a full disk, which the block reports too."""
    told: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", lambda raised: told.append(raised.exc_value))
    ended = threading.Event()

    def fail() -> None:
        ended.wait(10)
        raise error

    thread = threading.Thread(target=fail)
    for _ in range(2):
        with silenced():
            pass
    thread.start()
    ended.set()
    thread.join()
    assert told == ([error] if isinstance(error, ValueError) else [])
