"""The sizes of boxes against the strides of a pyramid."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from mmengine.config import Config

from opanas_cli.detection.configs.parts import required_datasets
from opanas_cli.detection.configs.sections import section_of
from opanas_cli.detection.data.image_files import Size

BINS_PER_OCTAVE = 8
"""Sides are counted in bins whose borders are apart by a factor of 2^(1/8), about 9 %."""


@dataclass(frozen=True)
class Pyramid:
    """The levels on which a config's heads look for boxes, and the (width, height) that its images are resized to."""

    config: str
    scale: tuple[int, int]
    strides: tuple[int, ...]
    finest_scale: float

    @classmethod
    def of(cls, config: Config, name: str) -> Pyramid:
        """That of a config with a detector of two stages."""
        (dataset,) = required_datasets(config, "train")
        resizing = next(step["scale"] for step in dataset["pipeline"] if "scale" in step)
        extractor = config.model.roi_head.bbox_roi_extractor
        width, height = section_of(config, "supernet").image_scale or resizing
        return cls(name, (width, height), tuple(extractor.featmap_strides), extractor.get("finest_scale", 56))

    @property
    def levels(self) -> list[str]:
        """Their names, finest first."""
        return [f"p{stride.bit_length() - 1}" for stride in self.strides]

    def resized(self, side: float, image: Size) -> float:
        """A length in an image of a size, in pixels after resizing."""
        return side * min(max(self.scale) / max(image), min(self.scale) / min(image))

    def level_of(self, side: float) -> str:
        """The level of a box with a square root of its area after resizing (FPN, Eq. 1, as mmdet computes it)."""
        level = math.floor(math.log2(side / self.finest_scale + 1e-6))
        return self.levels[min(max(level, 0), len(self.strides) - 1)]


@dataclass
class BoxSizes:
    """Sides, the square roots of areas in pixels of the images as they are, and the boxes of each level by config."""

    sides: Counter[int] = field(default_factory=Counter)
    levels: dict[str, Counter[str]] = field(default_factory=dict)
    below_stride: Counter[str] = field(default_factory=Counter)

    def add(self, width: float, height: float, image: Size, pyramids: Sequence[Pyramid]) -> None:
        """Count a box, with an area, in an image of a size."""
        side = math.sqrt(width * height)
        self.sides[math.floor(BINS_PER_OCTAVE * math.log2(side))] += 1
        for pyramid in pyramids:
            resized = pyramid.resized(side, image)
            self.levels.setdefault(pyramid.config, Counter())[pyramid.level_of(resized)] += 1
            self.below_stride[pyramid.config] += resized < pyramid.strides[0]

    def side_at(self, fraction: float) -> float | None:
        """The side that a fraction of the boxes does not exceed, to the precision of a bin; None without boxes."""
        below = 0
        for index, count in sorted(self.sides.items()):
            below += count
            if below >= fraction * self.sides.total():
                return float(2 ** ((index + 0.5) / BINS_PER_OCTAVE))
        return None
