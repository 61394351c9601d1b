"""The noise of repeated trainings, and what it leaves of the truth."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from opanas_cli.statistics.estimate import Estimate, Values, bootstrapped

Groups = Sequence[Sequence[float]]
"""The figures of each network, one for each seed."""


def noise(groups: Groups) -> float:
    """The standard deviation within groups, pooled; NaN if no group has two figures."""
    return math.sqrt(_noise_variance(*_moments(groups)))


def spread(groups: Groups) -> float:
    """The standard deviation between the true means of groups: without what noise adds to the measured ones."""
    return math.sqrt(_true_variance(*_moments(groups)))


def kendall_ceiling(groups: Groups) -> Estimate:
    """About the τ that the true means would have with the measured ones: the most a predictor can be expected to reach.

    True and measured means are taken as normally distributed, where τ = 2/π arcsin ρ (Kendall and Gibbons, 1990), and
    ρ² is the part of the variance of the measured means that is not noise.
    """
    return bootstrapped(_ceiling, _moments(groups))


def _moments(groups: Groups) -> list[Values]:
    """Of each group its size, its mean and the sum of squares about it."""
    sizes = np.array([len(group) for group in groups], dtype=np.float64)
    means = np.array([np.mean(group) for group in groups])
    return [sizes, means, np.array([np.var(group) for group in groups]) * sizes]


def _noise_variance(sizes: Values, means: Values, squares: Values) -> float:
    freedom = float((sizes - 1).sum())
    return float(squares.sum()) / freedom if freedom else math.nan


def _true_variance(sizes: Values, means: Values, squares: Values) -> float:
    added = _noise_variance(sizes, means, squares) * float((1 / sizes).mean())
    return max(float(means.var(ddof=1)) - added, 0.0)


def _ceiling(sizes: Values, means: Values, squares: Values) -> float:
    measured, true = float(means.var(ddof=1)), _true_variance(sizes, means, squares)
    return 2 / math.pi * math.asin(math.sqrt(min(true / measured, 1.0))) if measured else 0.0
