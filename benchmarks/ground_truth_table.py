"""What the table of the ground truth tells: the noise of one training, the ceiling that it sets, and ranks."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

NAMED = {"FPN": "td|none,none", "PANet": "td|none,bu"}
"""Necks of the literature in the space; here both nodes of PANet reach the output."""
SHOWN = 5
RESAMPLES = 1000

Row = Mapping[str, Any]
Values = NDArray[np.float64]


def means_of(rows: Sequence[Row]) -> dict[str, float]:
    """The mean AP of each genotype over its seeds."""
    found: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        found[row["genotype"]].append(row["AP"])
    return {genotype: float(np.mean(values)) for genotype, values in found.items()}


def report_of(rows: Sequence[Row]) -> dict[str, Any]:
    """All that the rows tell, JSON-able. What needs two seeds or three genotypes is None without them."""
    means = means_of(rows)
    ranked = sorted(means, key=means.__getitem__, reverse=True)
    macs = {row["genotype"]: row["macs"] for row in rows}
    both = by_seed(rows)
    paired = len(both) > 2
    of_means = np.array([[means[genotype], macs[genotype]] for genotype in ranked])
    return {
        "trainings": len(rows),
        "genotypes": len(ranked),
        **{f"mean_{name}": float(np.mean([row[name] for row in rows])) for name in ("seconds", "cpu_seconds") if rows},
        "noise": noise(both) if paired else None,
        "spread": spread(both) if paired else None,
        "tau_between_seeds": with_interval(tau, both) if paired else None,
        "tau_ceiling": with_interval(ceiling, both) if paired else None,
        "tau_of_macs": with_interval(tau, of_means) if len(ranked) > 2 else None,
        "ranks": {
            name: {"genotype": line, "rank": ranked.index(line) + 1, "AP": means[line]}
            for name, line in NAMED.items()
            if line in means
        },
        "best": {line: means[line] for line in ranked[:SHOWN]},
        "worst": {line: means[line] for line in ranked[-SHOWN:]},
    }


def by_seed(rows: Sequence[Row]) -> Values:
    """AP of seeds 0 and 1, (n, 2), of the genotypes that have both."""
    found: dict[str, dict[int, float]] = defaultdict(dict)
    for row in rows:
        found[row["genotype"]][row["seed"]] = row["AP"]
    return np.array([[of[0], of[1]] for of in found.values() if {0, 1} <= of.keys()])


def noise(values: Values) -> float:
    """The standard deviation of one training: between the seeds of a genotype, (n, k), pooled over all."""
    return float(np.sqrt(values.var(axis=1, ddof=1).mean()))


def spread(values: Values) -> float:
    """The standard deviation of genotypes, (n, k), without what the noise of their means adds to it."""
    variance = values.mean(axis=1).var(ddof=1) - noise(values) ** 2 / values.shape[1]
    return math.sqrt(max(variance, 0.0))


def tau(values: Values) -> float:
    """Kendall's τ of two columns, (n, 2)."""
    return float(stats.kendalltau(values[:, 0], values[:, 1]).statistic)


def ceiling(values: Values) -> float:
    """About the τ that a predictor of the true AP would have against means of k seeds, (n, k).

    True and measured AP are taken as normally distributed, where τ = 2/π arcsin ρ (Kendall and Gibbons, 1990).
    """
    measured = values.mean(axis=1).std(ddof=1)
    return 2 / math.pi * math.asin(spread(values) / measured) if measured else 0.0


def with_interval(statistic: Callable[[Values], float], values: Values) -> list[float]:
    """A statistic of genotypes, (n, k), with the limits of its 95 % percentile bootstrap over genotypes."""
    rng = np.random.default_rng(0)
    drawn = [statistic(values[rng.integers(len(values), size=len(values))]) for _ in range(RESAMPLES)]
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return [statistic(values), float(low), float(high)]


def print_report(report: dict[str, Any]) -> None:
    """A report as a page of text."""
    print(f"{report['trainings']} trainings of {report['genotypes']} genotypes")
    if report["trainings"]:
        print(f"one training: {report['mean_seconds']:.1f} s, {report['mean_cpu_seconds']:.1f} s of processor time")
    if report["noise"] is not None:
        print(f"AP: sd between seeds {report['noise']:.4f}, between genotypes {report['spread']:.4f}")
    for name in ("tau_between_seeds", "tau_ceiling", "tau_of_macs"):
        if report[name] is not None:
            value, low, high = report[name]
            print(f"{name.replace('_', ' '):18} {value:5.2f} ({low:.2f} to {high:.2f})")
    for name, found in report["ranks"].items():
        print(f"{name:6} {found['genotype']:16} AP {found['AP']:.3f}, rank {found['rank']} of {report['genotypes']}")
    for name in ("best", "worst"):
        print(name + "".join(f"\n  {line:16} {ap:.3f}" for line, ap in report[name].items()))
