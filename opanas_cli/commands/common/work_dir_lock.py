"""One run at a time in a work dir: a lock that the system frees however its process ends."""

from __future__ import annotations

import errno
import os
import socket
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from opanas_cli.atomic import cannot_write, remove_leftovers
from opanas_cli.errors import OpanasError

if TYPE_CHECKING:
    from filelock import FileLock

NAME = ".lock"
NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}


@contextmanager
def work_dir_lock(folder: Path) -> Iterator[None]:
    """While the block runs, no other run can begin in a work dir, which is made if it does not exist.

    Of several processes that work together the first one holds the lock. What a killed run left half-written is
    removed, and at the end the folder too, if it was made here and is empty. OpanasError if another run holds the lock
    or the folder cannot be written to.
    """
    from opanas_cli.detection.processes.group import from_first

    with ExitStack() as stack:
        from_first(lambda: stack.enter_context(_held(folder)))
        yield


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    from filelock import FileLock

    missing = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    path = folder / NAME
    lock = FileLock(path, timeout=0)
    ours = False
    try:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _acquire(lock, path)
            ours = True
            path.write_text(f"process {os.getpid()} on {socket.gethostname()}")
        except OSError as error:
            raise cannot_write(path, error) from error
        remove_leftovers(folder, NAME)
        yield
    finally:
        if ours:
            with suppress(OSError):
                path.unlink()
        lock.release()
        for made in missing:
            with suppress(OSError):
                made.rmdir()


def _acquire(lock: FileLock, path: Path) -> None:
    from filelock import Timeout

    try:
        lock.acquire()
    except Timeout as error:
        holder = path.read_text(errors="replace")[:300] or "another process"
        raise OpanasError(
            f"{path.parent}: {holder} is running here; wait until it has ended, or choose another --work-dir"
        ) from error
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        warnings.warn(
            f"{path}: this file system has no locks ({error.strerror}); make sure that no other run writes here",
            stacklevel=2,
        )
