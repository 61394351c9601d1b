"""Files of JSON lines that carry their own checksums: they are appended to, and a changed digit is found."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from opanas_cli.atomic import cannot_write
from opanas_cli.errors import InvalidInputError
from opanas_cli.regular_files import read_regular

MAX_BYTES = 1 << 30


def with_checksum(fields: Mapping[str, Any]) -> str:
    """One line, without its newline: the fields, and last ``crc32``, that of the line without it."""
    text = json.dumps(fields, allow_nan=False)
    return json.dumps({**fields, "crc32": f"{zlib.crc32(text.encode()):08x}"})


def without_checksum(line: str) -> dict[str, Any]:
    """The fields of a line, exactly as `with_checksum` wrote it; ValueError if it did not write that."""
    fields = json.loads(line)
    if not isinstance(fields, dict):
        raise ValueError("not an object")
    fields.pop("crc32", None)
    if with_checksum(fields) != line:
        raise ValueError("not as it was written")
    return fields


def read_lines(path: Path) -> tuple[bytes, bytes]:
    """The whole lines of a file, and what follows the last of them; both empty without a file.

    Raises:
        InvalidInputError: it cannot be read.
    """
    try:
        content = read_regular(path, MAX_BYTES) if path.exists() else b""
    except OSError as error:
        raise InvalidInputError(f"{path}: cannot be read ({error.strerror or error})") from error
    end = content.rfind(b"\n") + 1
    return content[:end], content[end:]


def append_line(path: Path, line: str) -> None:
    """Append a line and see it on the disk, or leave the file as it was: where a disk gets full, half of it fits.

    Raises:
        OpanasError: the file cannot be written.
    """
    try:
        with path.open("ab", buffering=0) as file:
            before = file.tell()
            try:
                rest = memoryview(f"{line}\n".encode())
                while rest:
                    rest = rest[file.write(rest) :]
                os.fsync(file.fileno())
            except OSError:
                file.truncate(before)
                raise
    except OSError as error:
        raise cannot_write(path, error) from error


def truncate(path: Path, size: int) -> None:
    """Cut a file to its first `size` bytes.

    Raises:
        OpanasError: it cannot be written.
    """
    try:
        os.truncate(path, size)
    except OSError as error:
        raise cannot_write(path, error) from error
