"""What a population found in images: by image and candidate, joined, and converted to plain arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opanas_cli.detection.scoring.image_results import Detections, ImageTruth

Arrays = Mapping[str, NDArray[Any]]

TRUTH = ("boxes", "labels", "ignored", "areas", "masks")
FOUND = ("boxes", "scores", "labels", "masks")
"""The fields of `ImageTruth` and of `Detections`. Masks are kept if all have them."""


@dataclass(frozen=True)
class PassResult:
    """The ground truth of some images, and what each candidate found in them, by the images' positions."""

    truths: dict[int, ImageTruth]
    found: list[dict[int, Detections]]

    @classmethod
    def none(cls, num_candidates: int) -> PassResult:
        """The result of no image."""
        return cls({}, [{} for _ in range(num_candidates)])

    def add(self, other: PassResult) -> None:
        """Add the result of other images, of the same candidates."""
        self.truths.update(other.truths)
        for own, more in zip(self.found, other.found, strict=True):
            own.update(more)

    def of_candidates(self, indices: Sequence[int]) -> PassResult:
        """The result of some of the candidates."""
        return PassResult(dict(self.truths), [dict(self.found[index]) for index in indices])

    def of_images(self, positions: AbstractSet[int]) -> PassResult:
        """The result of some of the images."""
        truths = {position: truth for position, truth in self.truths.items() if position in positions}
        return PassResult(truths, [{position: found[position] for position in truths} for found in self.found])

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All of it as a few arrays, from which `from_arrays` restores it, types included."""
        positions = list(self.truths)
        truths = list(self.truths.values())
        found = [by_position[position] for by_position in self.found for position in positions]
        return {
            "positions": np.array(positions, dtype=np.int64),
            "num_candidates": np.array(len(self.found)),
            **_joined("truth", truths, TRUTH),
            **_joined("found", found, FOUND),
        }

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> PassResult:
        """The inverse of `arrays`; raises KeyError, ValueError or TypeError if they are of something else."""
        positions = arrays["positions"].tolist()
        truths = [ImageTruth(*parts) for parts in _parted("truth", arrays, TRUTH)]
        found = iter([Detections(*parts) for parts in _parted("found", arrays, FOUND)])
        by_candidate = [
            dict(zip(positions, (next(found) for _ in positions), strict=True))
            for _ in range(int(arrays["num_candidates"]))
        ]
        return cls(dict(zip(positions, truths, strict=True)), by_candidate)


def _joined(kind: str, items: Sequence[Any], names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """The fields of all items, concatenated, and how many rows each item has."""
    counts = np.array([len(getattr(item, names[0])) for item in items], dtype=np.int64)
    fields = {name: [getattr(item, name) for item in items] for name in names}
    kept = {name: rows for name, rows in fields.items() if rows and all(row is not None for row in rows)}
    return {f"{kind}_counts": counts, **{f"{kind}_{name}": np.concatenate(rows) for name, rows in kept.items()}}


def _parted(kind: str, arrays: Arrays, names: Sequence[str]) -> Iterator[tuple[NDArray[Any], ...]]:
    """The fields of each item in order, without masks if there were none."""
    bounds = accumulate(arrays[f"{kind}_counts"].tolist(), initial=0)
    known = [name for name in names if name != "masks" or f"{kind}_masks" in arrays]
    for start, end in pairwise(bounds):
        yield tuple(arrays[f"{kind}_{name}"][start:end] for name in known)
