"""Opens only regular files: reading a named pipe would block for ever, and a device may have no end."""

from __future__ import annotations

import errno
import stat
from pathlib import Path
from typing import BinaryIO

KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def require_regular(path: Path, max_bytes: int | None = None) -> None:
    """Check, without opening it, that a path leads to a regular file of at most `max_bytes`; OSError if it does not."""
    try:
        status = path.stat()
    except ValueError as error:
        raise OSError(errno.EINVAL, "invalid file name", str(path)) from error
    kind = stat.S_IFMT(status.st_mode)
    if kind != stat.S_IFREG:
        number = errno.EISDIR if kind == stat.S_IFDIR else errno.EINVAL
        raise OSError(number, f"it is {KINDS.get(kind, 'something else')}, not a regular file", str(path))
    if max_bytes is not None and status.st_size > max_bytes:
        raise OSError(errno.EINVAL, f"it is larger than {max_bytes >> 20} MiB", str(path))


def open_regular(path: Path, max_bytes: int | None = None) -> BinaryIO:
    """Open a file to read its bytes; OSError as of `require_regular`, or if it cannot be opened."""
    require_regular(path, max_bytes)
    return path.open("rb")


def read_regular(path: Path, max_bytes: int | None = None) -> bytes:
    """The bytes of a file; OSError as of `require_regular`, or if it cannot be read."""
    with open_regular(path, max_bytes) as file:
        return file.read()
