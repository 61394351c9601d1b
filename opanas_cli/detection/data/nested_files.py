"""The files of some suffixes in a folder and in those below it, in an order that is the same everywhere."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
"""Of images."""


def nested_files(folder: Path, suffixes: tuple[str, ...]) -> Iterator[str]:
    """The paths from `folder` on, with ``/``; hidden files and folders are left out, and links to folders.

    One folder's names are in memory at a time. Raises OSError if a folder cannot be read.
    """
    for below, folders, files in os.walk(folder, onerror=_raise):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        within = Path(below).relative_to(folder)
        for name in sorted(files):
            if name.lower().endswith(suffixes) and not name.startswith("."):
                yield (within / name).as_posix()


def _raise(error: OSError) -> None:
    raise error
