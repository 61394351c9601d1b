"""A figure and how sure it is."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

CONFIDENCE = 0.95
RESAMPLES = 2000

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A statistic and its 95 % interval; each is NaN if the data do not define it."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, document: Mapping[str, float | None]) -> Estimate:
        """That of a document."""
        return cls(*(_or_nan(document[name]) for name in ("value", "low", "high")))

    def document(self) -> dict[str, float | None]:
        """The same as JSON-able values, with None for NaN."""
        fields = {"value": self.value, "low": self.low, "high": self.high}
        return {name: figure if math.isfinite(figure) else None for name, figure in fields.items()}

    def __str__(self) -> str:
        return f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})" if math.isfinite(self.value) else "not defined"


def _or_nan(figure: float | None) -> float:
    return math.nan if figure is None else figure


def bootstrapped(statistic: Callable[..., float], columns: Sequence[ArrayLike]) -> Estimate:
    """A statistic of columns whose rows are drawn together, with a percentile bootstrap interval over the rows.

    The resamples are the same each time. Those in which the statistic is NaN are left out.

    Args:
        statistic: of arrays as `columns`; may return NaN.
        columns: each with one entry, or one row, per observation.
    """
    arrays = [np.asarray(column) for column in columns]
    count, rng = len(arrays[0]), np.random.default_rng(0)
    value = statistic(*arrays)
    if count < 2 or not math.isfinite(value):
        return Estimate(value, math.nan, math.nan)
    resamples = rng.integers(count, size=(RESAMPLES, count))
    found = [statistic(*(array[rows] for array in arrays)) for rows in resamples]
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.nanpercentile(found, [tail, 100 - tail])
    return Estimate(value, float(low), float(high))
