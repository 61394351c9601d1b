"""What the annotations of a data set say, taken together."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from opanas_cli.detection.data.annotated_images import AnnotatedImage, annotated_images, declared_classes
from opanas_cli.detection.data.annotation_files import source_of
from opanas_cli.errors import InvalidConfigError, InvalidDataError


@dataclass
class Counts:
    """How many images and objects of each class the annotations of a data set config have, however many they are.

    Objects with an area are in `objects`; boxes with none are only counted, in `empty_boxes`. `categories` are the
    classes that a file declares, in its order; None if none does. `backend` is what mmcv decodes images with.
    """

    source: Path
    backend: str
    categories: tuple[str, ...] | None = None
    num_images: int = 0
    without_objects: int = 0
    without_annotation: int = 0
    objects: Counter[str] = field(default_factory=Counter)
    empty_boxes: int = 0

    def add(self, image: AnnotatedImage) -> None:
        """Count an image and its objects."""
        self.num_images += 1
        self.without_objects += not image.objects
        self.without_annotation += not image.has_annotation
        self.objects.update(name for name, _ in image.objects)
        self.empty_boxes += image.empty_boxes


@dataclass
class DataFacts(Counts):
    """The images too, each with (width, height) if that is stated.

    `corners` has, for each image with objects, the largest left and the largest top of their boxes.
    """

    images: dict[Path, tuple[float, float] | None] = field(default_factory=dict)
    corners: dict[Path, tuple[float, float]] = field(default_factory=dict)

    def add(self, image: AnnotatedImage) -> None:
        """Count an image and its objects, and keep its size."""
        super().add(image)
        self.images[image.path] = image.size
        if image.objects:
            self.corners[image.path] = largest_corner(image)


def largest_corner(image: AnnotatedImage) -> tuple[float, float]:
    """The largest left and the largest top of the boxes of an image; (-1, -1) without."""
    lefts, tops = ([box[side] for _, box in image.objects] for side in (0, 1))
    return max(lefts, default=-1), max(tops, default=-1)


def facts_of(dataset: Any, config_name: str) -> DataFacts:
    """Read the annotations of a data set config.

    Raises InvalidConfigError if it does not name them, InvalidDataError if they are missing or an entry is broken.
    """
    if not dataset.get("ann_file") or not isinstance(dataset.get("type"), str):
        raise InvalidConfigError(f"{config_name}: a data set has no type or no ann_file; set both")
    facts = DataFacts(source_of(dataset), decoder_of(dataset), declared_classes(dataset))
    for image in annotated_images(dataset, facts.backend):
        if isinstance(image, InvalidDataError):
            raise image
        facts.add(image)
    if not facts.images:
        raise InvalidDataError(no_images(dataset))
    return facts


def decoder_of(dataset: Any) -> str:
    """What mmcv decodes the images of a data set config with."""
    loading = next((step for step in dataset.get("pipeline") or () if "imdecode_backend" in step), {})
    return str(loading.get("imdecode_backend", "cv2"))


def no_images(dataset: Any) -> str:
    """What to say if a data set config has no image."""
    part = dataset.get("part")
    if part is None:
        return f"{source_of(dataset)}: lists no images"
    return (
        f"{source_of(dataset)}: by the hash of its {part['by']}'s name no image is in the {part['name']} part; add "
        "images, or set split to other fractions"
    )
