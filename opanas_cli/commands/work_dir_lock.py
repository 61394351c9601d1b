"""One run at a time in a work dir: a lock that the system frees when its process dies, however it dies."""

from __future__ import annotations

import os
import socket
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from opanas_cli.atomic import cannot_write, remove_leftovers
from opanas_cli.errors import OpanasError

try:
    import fcntl
except ImportError:  # Not on Windows, where nothing is locked.
    fcntl = None  # type: ignore[assignment]

NAME = ".lock"

_open: set[int] = set()


@contextmanager
def work_dir_lock(folder: Path) -> Iterator[None]:
    """While the block runs, no other run can begin in a work dir, which is made where it is not there.

    Of several processes that work together the first one holds the lock. What a killed run left half-written is
    removed; and so is the folder when the block ends, if it was made here and is empty.

    Raises:
        OpanasError: another run is at work there, or the folder cannot be written to.
    """
    from opanas_cli.detection.processes import from_first

    with ExitStack() as stack:
        from_first(lambda: stack.enter_context(_held(folder)))
        yield


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    missing = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    path = folder / NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = _locked(path)
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        remove_leftovers(folder, NAME)
        yield
    finally:
        with suppress(OSError):
            path.unlink()
        _open.discard(handle)
        os.close(handle)
        with suppress(OSError):
            for made in missing:
                made.rmdir()


def _locked(path: Path) -> int:
    """The open and locked file."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(handle, path)
        except BaseException:
            os.close(handle)
            raise
        # Another run may have ended and removed the file between our opening and our locking it.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), path.stat()):
                break
        os.close(handle)
    os.truncate(handle, 0)
    os.write(handle, f"process {os.getpid()} on {socket.gethostname()}".encode())
    _open.add(handle)
    return handle


def _lock(handle: int, path: Path) -> None:
    if fcntl is None:
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.read(handle, 300).decode(errors="replace") or "another process"
        raise OpanasError(
            f"{path.parent}: {holder} is at work here; wait until it has ended, or choose another --work-dir"
        ) from error
    except OSError as error:
        warnings.warn(
            f"{path}: this file system has no locks ({error.strerror}); see to it that no second run writes here",
            stacklevel=2,
        )


def _close_in_child() -> None:
    # A worker process would keep the lock of a run that was killed for as long as it lives.
    for handle in _open:
        os.close(handle)
    _open.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)
