"""A small detection data set of shapes on textured background, for trying everything without any download."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from opanas_cli.atomic import write_atomically

CLASSES = ("disk", "square", "triangle")
IMAGE_SIZE = 128
MIN_SIZE, MAX_SIZE = 6.0, 100.0
MAX_OBJECTS = 6
MAX_OVERLAP = 0.15
OVERSAMPLING = 4

Box = tuple[float, float, float, float]


def draw_image(rng: np.random.Generator) -> tuple[NDArray[np.uint8], list[tuple[int, Box]]]:
    """One image (H, W, 3) with the label and the box (x1, y1, x2, y2) of each object."""
    canvas = Image.fromarray(texture(rng)).resize((IMAGE_SIZE * OVERSAMPLING,) * 2, Image.Resampling.BILINEAR)
    pen = ImageDraw.Draw(canvas)
    objects: list[tuple[int, Box]] = []
    for _ in range(int(rng.integers(1, MAX_OBJECTS + 1))):
        box = free_box([other for _, other in objects], rng)
        if box is None:
            continue
        label = int(rng.integers(len(CLASSES)))
        colour = tuple(int(value) for value in rng.choice((0, 255), 3))
        left, top, right, bottom = scaled = [side * OVERSAMPLING for side in box]
        if CLASSES[label] == "triangle":
            pen.polygon([((left + right) / 2, top), (right, bottom), (left, bottom)], fill=colour)
        else:
            (pen.ellipse if CLASSES[label] == "disk" else pen.rectangle)(scaled, fill=colour)
        objects.append((label, box))
    small = canvas.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BOX)
    noisy = np.asarray(small, dtype=np.float32) + rng.normal(0, 6, (IMAGE_SIZE, IMAGE_SIZE, 1))
    return noisy.clip(0, 255).astype(np.uint8), objects


def texture(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Noise of four octaves around a random grey."""
    image = np.zeros((IMAGE_SIZE, IMAGE_SIZE, 3), dtype=np.float32) + rng.uniform(90, 166)
    for cells in (4, 8, 16, 32):
        noise = rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8)
        scaled = Image.fromarray(noise).resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BICUBIC)
        image += (np.asarray(scaled, dtype=np.float32) - 128) * (0.4 / math.sqrt(cells))
    return image.clip(0, 255).astype(np.uint8)


def free_box(taken: list[Box], rng: np.random.Generator) -> Box | None:
    """A box of a log-uniform size that hardly overlaps those taken; None when none was found in a few tries."""
    for _ in range(10):
        size = math.exp(rng.uniform(math.log(MIN_SIZE), math.log(MAX_SIZE)))
        left, top = (float(value) for value in rng.uniform(0, IMAGE_SIZE - size, 2))
        box = (left, top, left + size, top + size)
        if all(_overlap(box, other) <= MAX_OVERLAP for other in taken):
            return box
    return None


def _overlap(box: Box, other: Box) -> float:
    """The intersection as a fraction of the smaller box."""
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    smaller = min((b[2] - b[0]) * (b[3] - b[1]) for b in (box, other))
    return max(width, 0.0) * max(height, 0.0) / smaller


@dataclass(frozen=True)
class Kind:
    """What generated images show: a name, the classes, and a function that draws one as `draw_image` does."""

    name: str
    classes: tuple[str, ...]
    draw: Callable[[np.random.Generator], tuple[NDArray[np.uint8], list[tuple[int, Box]]]]


SHAPES = Kind("shapes", CLASSES, draw_image)


def generate_shapes(root: Path, num_train: int = 400, num_val: int = 100, seed: int = 0, kind: Kind = SHAPES) -> None:
    """Write a COCO data set: ``train/`` and ``val/`` of PNG, ``annotations/train.json`` and ``annotations/val.json``.

    Images are 128×128 with one to six objects of sizes from 6 to 100 pixels, log-uniform, unless they are of another
    kind. The same seed gives the same data set; a data set that is already there with the same settings is left alone.
    """
    for split, count, stream in (("train", num_train, 0), ("val", num_val, 1)):
        info = {"description": f"opanas {kind.name}", "seed": seed, "num_images": count, "version": 1}
        path = root / "annotations" / f"{split}.json"
        if path.is_file() and json.loads(path.read_text()).get("info") == info:
            continue
        rng = np.random.default_rng([seed, stream])
        write_atomically(path, json.dumps({"info": info, **_write_split(root / split, count, rng, kind)}))


def _write_split(folder: Path, count: int, rng: np.random.Generator, kind: Kind) -> dict[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    images, annotations = [], []
    for image_id in range(1, count + 1):
        pixels, objects = kind.draw(rng)
        name = f"{image_id:06d}.png"
        Image.fromarray(pixels).save(folder / name)
        images.append({"id": image_id, "file_name": name, "width": IMAGE_SIZE, "height": IMAGE_SIZE})
        for label, (left, top, right, bottom) in objects:
            width, height = right - left, bottom - top
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": label + 1,
                    "bbox": [left, top, width, height],
                    "area": width * height,
                    "iscrowd": 0,
                }
            )
    categories = [{"id": index + 1, "name": name} for index, name in enumerate(kind.classes)]
    return {"images": images, "annotations": annotations, "categories": categories}
