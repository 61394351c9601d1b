"""Generated images on which necks differ: eight classes of 6 to 100 pixels, low contrast, and clutter in between."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from opanas_cli.detection.data.shapes import IMAGE_SIZE, OVERSAMPLING, Box, Kind, free_box, texture

CLASSES = ("disk", "square", "triangle", "diamond", "ring", "frame", "plus", "half")
MAX_OBJECTS = 8
NUM_CLUTTER = 12
CONTRAST = 70
"""The least distance of a colour from grey in the channel that departs most from it, of 128."""
NOISE = 10


def draw_image(rng: np.random.Generator) -> tuple[NDArray[np.uint8], list[tuple[int, Box]]]:
    """One image (H, W, 3) with the label and the box (x1, y1, x2, y2) of each object."""
    canvas = Image.fromarray(texture(rng)).resize((IMAGE_SIZE * OVERSAMPLING,) * 2, Image.Resampling.BILINEAR)
    pen = ImageDraw.Draw(canvas)
    for _ in range(int(rng.integers(NUM_CLUTTER + 1))):
        _draw_clutter(pen, rng)
    objects: list[tuple[int, Box]] = []
    for _ in range(int(rng.integers(1, MAX_OBJECTS + 1))):
        box = free_box([other for _, other in objects], rng)
        if box is not None:
            label = int(rng.integers(len(CLASSES)))
            _DRAW[CLASSES[label]](pen, [side * OVERSAMPLING for side in box], _colour(rng))
            objects.append((label, box))
    small = canvas.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BOX)
    noisy = np.asarray(small, dtype=np.float32) + rng.normal(0, NOISE, (IMAGE_SIZE, IMAGE_SIZE, 1))
    return noisy.clip(0, 255).astype(np.uint8), objects


def _colour(rng: np.random.Generator) -> tuple[int, ...]:
    while True:
        colour = rng.integers(0, 256, 3)
        if abs(colour - 128).max() >= CONTRAST:
            return tuple(int(value) for value in colour)


def _draw_clutter(pen: ImageDraw.ImageDraw, rng: np.random.Generator) -> None:
    """A line or an arc of one of the colours of objects, which is no object."""
    size = math.exp(rng.uniform(math.log(6), math.log(60))) * OVERSAMPLING
    left, top = rng.uniform(-size / 2, IMAGE_SIZE * OVERSAMPLING - size / 2, 2)
    width, colour = int(rng.integers(1, 4)) * OVERSAMPLING, _colour(rng)
    angle = rng.uniform(0, 2 * math.pi)
    if rng.random() < 0.5:
        reach = (math.cos(angle) * size, math.sin(angle) * size)
        pen.line((left, top, left + reach[0], top + reach[1]), fill=colour, width=width)
    else:
        start = math.degrees(angle)
        pen.arc((left, top, left + size, top + size), start, start + rng.uniform(60, 240), fill=colour, width=width)


def _disk(pen: ImageDraw.ImageDraw, box: list[float], colour: Any) -> None:
    pen.ellipse(box, fill=colour)


def _ring(pen: ImageDraw.ImageDraw, box: list[float], colour: Any) -> None:
    pen.ellipse(box, outline=colour, width=round((box[2] - box[0]) / 5))


def _frame(pen: ImageDraw.ImageDraw, box: list[float], colour: Any) -> None:
    pen.rectangle(box, outline=colour, width=round((box[2] - box[0]) / 5))


def _half(pen: ImageDraw.ImageDraw, box: list[float], colour: Any) -> None:
    """The upper half of an ellipse that is twice as high as the box."""
    left, top, right, bottom = box
    pen.pieslice((left, top, right, 2 * bottom - top), 180, 360, fill=colour)


def _polygon(*corners: tuple[float, float]) -> Callable[[ImageDraw.ImageDraw, list[float], Any], None]:
    """Draws the polygon of corners given as fractions of the box."""

    def draw(pen: ImageDraw.ImageDraw, box: list[float], colour: Any) -> None:
        left, top, right, bottom = box
        pen.polygon([(left + x * (right - left), top + y * (bottom - top)) for x, y in corners], fill=colour)

    return draw


_A, _B = 1 / 3, 2 / 3
_DRAW: dict[str, Callable[[ImageDraw.ImageDraw, list[float], Any], None]] = {
    "disk": _disk,
    "square": _polygon((0, 0), (1, 0), (1, 1), (0, 1)),
    "triangle": _polygon((0.5, 0), (1, 1), (0, 1)),
    "diamond": _polygon((0.5, 0), (1, 0.5), (0.5, 1), (0, 0.5)),
    "ring": _ring,
    "frame": _frame,
    "plus": _polygon(
        (_A, 0), (_B, 0), (_B, _A), (1, _A), (1, _B), (_B, _B), (_B, 1), (_A, 1), (_A, _B), (0, _B), (0, _A), (_A, _A)
    ),
    "half": _half,
}

HARD_SHAPES = Kind("hard shapes", CLASSES, draw_image)
