"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from opanas_cli.errors import OpanasError

NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""The disk is full, or what a user or a process may use of it."""

UNFINISHED = ".part."
"""How the names of files that are being written begin."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, renamed to it when the block ends well and removed when it does not.

    A link is followed; anything there but a regular file, such as a device, is left alone. Raises OpanasError if there
    is something of the kind, or the folder cannot be written to.
    """
    place = Path(os.path.realpath(path))
    try:
        if place.exists() and not place.is_file():
            raise OpanasError(f"{path}: cannot be written: it is not a regular file; choose another name")
        place.parent.mkdir(parents=True, exist_ok=True)
        temporary = place.with_name(f"{UNFINISHED}{place.stem}.{uuid4().hex[:12]}{place.suffix}")
        temporary.touch(exist_ok=False)
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        yield temporary
        _to_disk(temporary)
        temporary.replace(place)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a whole file, or leave what was there; raise OpanasError if the folder cannot be written to."""
    data = content.encode() if isinstance(content, str) else content
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def require_writable(folder: Path) -> None:
    """Raise OpanasError unless a folder can be written to, or made, before work is spent on what will go there.

    It is not made yet, so that a command that then refuses its input leaves nothing behind.
    """
    try:
        existing = next(parent for parent in (folder, *folder.absolute().parents) if _is_there(parent))
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise cannot_write(folder, error) from error


def _is_there(path: Path) -> bool:
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def remove_leftovers(folder: Path, lock: str) -> None:
    """Remove what killed processes left half-written in a folder and in those up to two levels below it.

    Nobody may be writing there, except in folders below that have a file named `lock`, which are left alone.
    """
    for depth in ("", "*/", "*/*/"):
        for path in folder.glob(f"{depth}{UNFINISHED}*"):
            within = path.relative_to(folder).parents
            if not any((folder / parent / lock).exists() for parent in within if parent != Path()):
                path.unlink(missing_ok=True)


def cannot_write(path: Path | str, error: OSError) -> OpanasError:
    """The error for a path that cannot be written."""
    way_out = "free some space and run again" if error.errno in NO_ROOM else "choose another location"
    return OpanasError(f"{path}: cannot be written ({error.strerror or error}); {way_out}")


@contextmanager
def writing_into(folder: Path) -> Iterator[None]:
    """In the block, a full disk that a library reports without a file's name raises OpanasError with the folder's."""
    try:
        yield
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise cannot_write(error.filename or folder, error) from error


def _to_disk(path: Path) -> None:
    """Make a file survive a crash of the machine, before its name says that it is whole."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
