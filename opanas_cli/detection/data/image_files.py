"""Checks image files as training will read them, and decodes no more of them than necessary."""

from __future__ import annotations

import glob
import io
from pathlib import Path
from typing import BinaryIO

import mmcv
from PIL import Image, UnidentifiedImageError

from opanas_cli.detection.data.annotation_files import IMAGES
from opanas_cli.regular_files import open_regular

MAX_BYTES = 1 << 30
JPEG_END, JPEG_SCAN = b"\xff\xd9", b"\xff\xda"
NO_PART = b"\x5a\xa5" * 32
"""Bytes that change an image if they continue it, and not if they follow its last row."""

READ_BY_ALL = {"cv2": ("JPEG", "PNG"), "pillow": ("JPEG", "PNG")}
"""The formats that need not be decoded to know that mmcv's backends read them."""

EXIF_ORIENTATION = 0x0112
QUARTER_TURNS = (5, 6, 7, 8)
"""The orientations whose width is the height of the stored pixels."""

TURNED = {"cv2": ("JPEG", "PNG"), "pillow": ("JPEG", "PNG", "WEBP")}
"""The formats that mmcv's backends turn by their EXIF data; the others turn JPEG alone."""

Size = tuple[float, float]


def size_or_problem(path: Path, backend: str = "cv2") -> Size | str:
    """The (width, height) of an image, turned by its EXIF data, as mmcv's `backend` loads it; or its problem."""
    try:
        with open_regular(path, MAX_BYTES) as file:
            quick = _quick_check(file, READ_BY_ALL.get(backend, ()), backend)
            return quick or _decoded_size(file, backend) or f"is not a readable image ({backend} does not decode it)"
    except FileNotFoundError:
        return _missing(path)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return _unreadable(error)


def stored_size(path: Path, backend: str = "cv2") -> Size | str:
    """The (width, height) that an image's header states, turned as mmcv's `backend` does; or its problem."""
    try:
        with open_regular(path, MAX_BYTES) as file, Image.open(file) as image:
            return _turned_size(image, backend)
    except FileNotFoundError:
        return _missing(path)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return _unreadable(error)


def _turned_size(image: Image.Image, backend: str) -> Size:
    if image.format not in TURNED.get(backend, ("JPEG",)):
        return image.size
    # Of a PNG without, pillow would decode all to look for some behind the pixels.
    has_any = image.format != "PNG" or "exif" in image.info
    turned = has_any and image.getexif().get(EXIF_ORIENTATION) in QUARTER_TURNS
    return image.size[::-1] if turned else image.size


def _unreadable(error: Exception) -> str:
    return f"is not a readable image ({getattr(error, 'strerror', None) or type(error).__name__})"


def _quick_check(file: BinaryIO, formats: tuple[str, ...], backend: str) -> Size | str | None:
    """The size or the problem of an image in one of the formats; None if it is in another one."""
    try:
        with Image.open(file) as image:
            if image.format not in formats:
                return None
            size = _turned_size(image, backend)
            whole = _is_whole_jpeg(image, file) if image.format == "JPEG" else _is_whole_png(image, file)
            return size if whole else "is truncated or damaged"
    except UnidentifiedImageError:
        return None


def _is_whole_png(image: Image.Image, file: BinaryIO) -> bool:
    """Whether all parts match their checksums, which Pillow does not compare as it loads, and all rows are there."""
    try:
        image.verify()
    except (OSError, SyntaxError):
        return False
    file.seek(0)
    with Image.open(file) as again:
        return _loads(again)


def _is_whole_jpeg(image: Image.Image, file: BinaryIO) -> bool:
    """Whether all rows are there.

    libjpeg makes up the rows between the last one in the file and the end marker. Without the marker it reports them
    missing, so that is cut off; the decoder reads ahead the zeros in its place. Of an image of several scans, such as
    a progressive one, it needs the marker; there, what precedes the marker must have no effect.
    """
    file.seek(0)
    content = file.read()
    scan, end = content.rfind(JPEG_SCAN), content.rfind(JPEG_END)
    # A thumbnail inside the file has an end of its own, before the scan of the image begins.
    if end < scan:
        return _loads(image)
    components = content[scan + 4 : scan + 5]
    if "progressive" in image.info or components != bytes([getattr(image, "layers", 0)]):
        return _pixels(content) == _pixels(content[:end] + NO_PART + JPEG_END)
    with Image.open(io.BytesIO(content[:end] + bytes(16))) as open_ended:
        open_ended.draft("L", (1, 1))  # An eighth of the size, and grey: the fastest.
        return _loads(open_ended)


def _pixels(content: bytes) -> bytes:
    with Image.open(io.BytesIO(content)) as image:
        return image.tobytes()


def _loads(image: Image.Image) -> bool:
    try:
        image.load()
    except (OSError, SyntaxError, EOFError):
        return False
    return True


def _decoded_size(file: BinaryIO, backend: str) -> Size | None:
    file.seek(0)
    try:
        pixels = mmcv.imfrombytes(file.read(), backend=backend)
    except Exception:  # Each backend raises errors of its own.
        return None
    return None if pixels is None else pixels.shape[1::-1]


def _missing(path: Path) -> str:
    same_stem = path.parent.glob(f"{glob.escape(path.stem)}.*")
    others = sorted(other.name for other in same_stem if other.exists())
    if path.is_symlink():
        return "is a link to a file that does not exist"
    if not others:
        return "no such image"
    hint = "; mmdet's VOC data sets read .jpg only, type='VOCFolder' reads it" if path.parent.name == IMAGES else ""
    return f"no such image (but {others[0]} exists{hint})"
