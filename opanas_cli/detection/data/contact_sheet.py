"""A picture of several images with their boxes, to look at before hours are spent on them."""

from __future__ import annotations

from collections.abc import Sequence
from colorsys import hsv_to_rgb
from pathlib import Path

import matplotlib
import mmcv
from PIL import Image, ImageDraw, ImageFont

from opanas_cli.atomic import replacing
from opanas_cli.detection.data.annotated_images import AnnotatedImage

SIDE, MARGIN, CAPTION = 320, 8, 18
COLUMNS = 4
FONT = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")


def write_contact_sheet(
    images: Sequence[tuple[str, AnnotatedImage]], classes: Sequence[str], backend: str, path: Path
) -> None:
    """Write a PNG of images with the boxes that are trained on, turned as they are trained on, each under its caption.

    Raises OpanasError if it cannot be written.
    """
    rows = -(-len(images) // COLUMNS)
    cell = SIDE + MARGIN
    sheet = Image.new("RGB", (COLUMNS * cell + MARGIN, rows * (cell + CAPTION) + MARGIN), "white")
    font = ImageFont.truetype(str(FONT), 12)
    for index, (caption, image) in enumerate(images):
        left, top = MARGIN + index % COLUMNS * cell, MARGIN + index // COLUMNS * (cell + CAPTION)
        ImageDraw.Draw(sheet).text((left, top), caption[-50:], "black", font)
        sheet.paste(_with_boxes(image, classes, backend, font), (left, top + CAPTION))
    with replacing(path) as temporary:
        sheet.save(temporary, "PNG")


def _with_boxes(
    image: AnnotatedImage, classes: Sequence[str], backend: str, font: ImageFont.FreeTypeFont
) -> Image.Image:
    pixels = mmcv.imfrombytes(image.path.read_bytes(), channel_order="rgb", backend=backend)
    picture = Image.fromarray(pixels)
    scale = SIDE / max(picture.size)
    picture = picture.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))))
    draw = ImageDraw.Draw(picture)
    for name, box in image.objects:
        if name not in classes:
            continue
        colour = colour_of(classes.index(name), len(classes))
        corners = [side * scale for side in box]
        draw.rectangle(corners, outline=colour, width=2)
        draw.rectangle(draw.textbbox(corners[:2], name, font), fill=colour)
        draw.text(corners[:2], name, "black", font)
    return picture


def colour_of(index: int, count: int) -> tuple[int, int, int]:
    """A colour for one of several classes: red for the first, and as far from each other as can be."""
    red, green, blue = hsv_to_rgb(index / count, 0.8, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)
