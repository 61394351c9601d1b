"""Masks of objects as COCO's run-length codes: arrays of short texts instead of all pixels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_masks

Code = Mapping[str, Any]
"""COCO's own form: `size`, (height, width), and `counts`."""


def encoded_masks(masks: NDArray[Any]) -> NDArray[np.bytes_]:
    """Masks (n, height, width) of 0 and 1 as an array (n,) of texts, which `code_of` reads."""
    pixels = np.asfortranarray(masks.transpose(1, 2, 0).astype(np.uint8))
    return _texts(coco_masks.encode(pixels))


def masks_of_file(annotations: Sequence[Mapping[str, Any]], size: tuple[int, int]) -> NDArray[np.bytes_] | None:
    """The masks of annotations of an image of `size`, (height, width), in a COCO file; None if one has no mask."""
    shapes = [annotation.get("segmentation") for annotation in annotations]
    return _texts(_code(shape, size) for shape in shapes) if all(shapes) else None


def code_of(text: bytes) -> dict[str, Any]:
    """A mask in COCO's own form."""
    height, width, counts = text.split(b" ")
    return {"size": [int(height), int(width)], "counts": counts}


def _texts(codes: Iterable[Code]) -> NDArray[np.bytes_]:
    texts = [b"%d %d %s" % (*code["size"], code["counts"]) for code in codes]
    return np.array(texts, dtype=np.bytes_)


def _code(shape: Any, size: tuple[int, int]) -> Code:
    """Polygons, counts as a list, or counts as a text."""
    if isinstance(shape, list):
        return coco_masks.merge(coco_masks.frPyObjects(shape, *size))
    if isinstance(shape["counts"], list):
        return coco_masks.frPyObjects(shape, *size)
    return {**shape, "counts": shape["counts"].encode()}
