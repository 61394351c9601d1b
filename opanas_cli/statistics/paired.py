"""Whether one network is better than another, seed by seed."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from opanas_cli.statistics.estimate import CONFIDENCE, Estimate


def paired_difference(first: Sequence[float], second: Sequence[float]) -> Estimate:
    """The mean of first − second over the seeds, with Student's t interval; without one for a single seed.

    Args:
        first, second: the figures of the same seeds, in the same order.
    """
    differences = np.subtract(first, second)
    mean, count = float(differences.mean()), len(differences)
    if count < 2:
        return Estimate(mean, math.nan, math.nan)
    from scipy.stats import t

    half = float(t.ppf((1 + CONFIDENCE) / 2, count - 1) * differences.std(ddof=1) / math.sqrt(count))
    return Estimate(mean, mean - half, mean + half)


def verdict(difference: Estimate, num_seeds: int) -> str:
    """What a paired difference shows, in words; after ± stands half of the interval."""
    if num_seeds < 2:
        return "one seed shows no difference; add seeds"
    if difference.low <= 0 <= difference.high:
        return f"no difference shown with {num_seeds} seeds"
    side = "better" if difference.value > 0 else "worse"
    return f"{side} by {abs(difference.value):.3f} ± {(difference.high - difference.low) / 2:.3f}"
