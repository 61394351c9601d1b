"""Opening files that a user or a data set names: a named pipe blocks for ever, and a device may never end."""

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
    """Check that a path is that of a regular file or of a link to one, without opening it.

    Raises:
        OSError: it is not, or the file is larger than `max_bytes`; `strerror` says what it is.
    """
    try:
        status = path.stat()
    except ValueError as error:
        raise OSError(errno.EINVAL, "no file can have this name", str(path)) from error
    kind = stat.S_IFMT(status.st_mode)
    if kind != stat.S_IFREG:
        number = errno.EISDIR if kind == stat.S_IFDIR else errno.EINVAL
        raise OSError(number, f"it is {KINDS.get(kind, 'something else')}, not a regular file", str(path))
    if max_bytes is not None and status.st_size > max_bytes:
        raise OSError(errno.EINVAL, f"it is larger than {max_bytes >> 20} MiB", str(path))


def open_regular(path: Path, max_bytes: int | None = None) -> BinaryIO:
    """Open a file to read its bytes.

    Raises:
        OSError: as of `require_regular`, or it cannot be opened.
    """
    require_regular(path, max_bytes)
    return path.open("rb")


def read_regular(path: Path, max_bytes: int | None = None) -> bytes:
    """The bytes of a file.

    Raises:
        OSError: as of `require_regular`, or it cannot be read.
    """
    with open_regular(path, max_bytes) as file:
        return file.read()
