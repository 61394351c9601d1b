"""How far two rankings of the same things agree (section 4.3.3)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from opanas_cli.statistics.estimate import Values


def kendall(first: ArrayLike, second: ArrayLike) -> float:
    """Kendall's τ-b, in [-1, 1]; NaN if either is constant."""
    from scipy.stats import kendalltau

    return float(kendalltau(first, second).statistic)


def spearman(first: ArrayLike, second: ArrayLike) -> float:
    """Spearman's ρ, in [-1, 1]; NaN if either is constant."""
    from scipy.stats import rankdata

    ranks = np.array([rankdata(first), rankdata(second)])
    spreads = ranks.std(axis=1)
    return float(np.corrcoef(ranks)[0, 1]) if spreads.all() else math.nan


def kendall_at_equal_cost(first: ArrayLike, second: ArrayLike, costs: ArrayLike, tolerance: float = 0.05) -> float:
    """Kendall's τ-b over the pairs whose costs differ by at most `tolerance` of the larger one.

    It says whether a ranking holds more than that costlier networks are better. NaN if no such pair is untied.
    """
    alike = pairs_of_equal_cost(np.asarray(costs, dtype=np.float64), tolerance)
    signs = [_signs(np.asarray(column, dtype=np.float64))[alike] for column in (first, second)]
    untied = math.sqrt(np.count_nonzero(signs[0]) * np.count_nonzero(signs[1]))
    return float((signs[0] * signs[1]).sum() / untied) if untied else math.nan


def pairs_of_equal_cost(costs: Values, tolerance: float = 0.05) -> NDArray[np.bool_]:
    """Whether i < j and their costs differ by at most `tolerance` of the larger one, (n, n)."""
    difference = abs(costs[:, None] - costs)
    return np.triu(difference <= tolerance * np.maximum(costs[:, None], costs), k=1)


def _signs(values: Values) -> Values:
    return np.sign(values[:, None] - values)
