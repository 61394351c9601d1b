"""Whether a predictor on top of a super-net ranks better than it, by the table of benchmarks/ground_truth.py.

    python benchmarks/predictor.py --setting all-xboth1 [--max-macs 0.227]

A ridge regression on the super-net's AP, on multiply-adds and on how often each path is on an edge is fitted to some
networks that were trained alone, drawn at random, and ranks the others. Then it chooses: of 40 networks drawn at random
some are trained alone, and the best of these is found. They are the first ones, the super-net's best, or half of them
these and each of the others the one of which the regression on all before it expects most. Nothing is trained.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ground_truth_table import means_of
from numpy.typing import NDArray
from rankings import rows_of

from opanas_cli.formats.text import loads
from opanas_cli.genotype.paths import BUILT_IN_PATHS
from opanas_cli.statistics.rank_correlation import kendall

RESULTS = Path(__file__).parent / "results"
FITTED = (10, 20, 40)
CANDIDATES, TRAINED = 40, (4, 8, 16)
PENALTY = 1.0

Matrix = NDArray[np.float64]


def features_of(lines: Sequence[str], judged: dict[str, float], macs: dict[str, int]) -> dict[str, Matrix]:
    """The standardised columns of each predictor, one row for each genotype."""
    paths = [loads(line, line).genotype.paths for line in lines]
    counts = [[own.count(path) for path in BUILT_IN_PATHS] for own in paths]
    columns = np.array([[judged[line], macs[line], *own] for line, own in zip(lines, counts, strict=True)])
    columns = (columns - columns.mean(0)) / np.maximum(columns.std(0), 1e-9)
    return {"AP": columns[:, :1], "AP, MACs": columns[:, :2], "AP, MACs, paths": columns}


def predicted(features: Matrix, alone: Matrix, fitted: Sequence[int] | NDArray[np.int64]) -> Matrix:
    """The AP of all genotypes, by those fitted."""
    chosen, mean = features[fitted], alone[fitted].mean()
    weights = np.linalg.solve(chosen.T @ chosen + PENALTY * np.eye(chosen.shape[1]), chosen.T @ (alone[fitted] - mean))
    return mean + features @ weights


def taus_of(features: dict[str, Matrix], alone: Matrix, count: int, rng: np.random.Generator) -> dict[str, float]:
    """The τ of the super-net, of multiply-adds, and of each predictor, fitted to so many networks, on all others."""
    fitted, others = np.split(rng.permutation(len(alone)), [count])
    super_net, macs = features["AP, MACs"].T
    ranked = {"super-net": super_net, "MACs": macs}
    ranked |= {name: predicted(columns, alone, fitted) for name, columns in features.items()}
    return {name: kendall(values[others], alone[others]) for name, values in ranked.items()}


def regrets_of(columns: Matrix, alone: Matrix, count: int, rng: np.random.Generator) -> dict[str, float]:
    """What the best of so many trained networks lacks to the best of all, by how they are chosen."""
    drawn = rng.permutation(len(alone))[:CANDIDATES]
    columns, own = columns[drawn], alone[drawn]
    ranked = [int(place) for place in np.argsort(-columns[:, 0])]
    guided = ranked[: count // 2]
    while len(guided) < count:
        expected = predicted(columns, own, guided)
        expected[guided] = -np.inf
        guided.append(int(expected.argmax()))
    trained = {"random": list(range(count)), "super-net": ranked[:count], "AP, MACs, paths": guided}
    return {name: float(alone.max() - own[places].max()) for name, places in trained.items()}


def main() -> None:
    """Fit and rank many times, and print tables or a JSON document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--setting", required=True, help="of the super-net in the rankings")
    parser.add_argument("--truth", type=Path, default=RESULTS / "ground_truth.json")
    parser.add_argument("--rankings", type=Path, default=RESULTS / "rankings.json")
    parser.add_argument("--max-macs", type=float, default=np.inf, metavar="G", help="of the networks (no limit)")
    parser.add_argument("--draws", type=int, default=200, metavar="N", help="of the networks to fit on (200)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    rows = json.loads(options.truth.read_text())["rows"]
    means, macs = means_of(rows), {row["genotype"]: row["macs"] for row in rows}
    judged = [row["AP"] for row in rows_of(options.rankings) if row["setting"] == options.setting]
    lines, rng = [line for line in means if macs[line] <= options.max_macs * 1e9], np.random.default_rng(0)
    alone = np.array([means[line] for line in lines])
    each = [features_of(lines, one, macs) for one in judged]
    drawn = [each[draw % len(each)] for draw in range(options.draws)]
    report = {
        "mean_tau": [
            {"fitted": count, **mean_of([taus_of(one, alone, count, rng) for one in drawn])} for count in FITTED
        ],
        "mean_regret": [
            {"trained": count, **mean_of([regrets_of(one["AP, MACs, paths"], alone, count, rng) for one in drawn])}
            for count in TRAINED
        ],
    }
    if options.json:
        print(json.dumps({"version": 1, "setting": options.setting, "genotypes": len(lines), **report}))
        return
    print(f"{len(lines)} networks, {options.draws} draws, {len(each)} super-nets")
    print("mean Kendall tau on the networks that are not fitted")
    print_table(report["mean_tau"], 3)
    print(f"what the best of those trained lacks, AP, mean; {CANDIDATES} candidates")
    print_table(report["mean_regret"], 4)


def mean_of(rows: list[dict[str, float]]) -> dict[str, float]:
    """The mean of each column."""
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def print_table(rows: list[dict[str, float]], digits: int) -> None:
    """Rows with a whole number in front."""
    print("".join(f"{name:>18}" for name in rows[0]))
    for first, *values in (row.values() for row in rows):
        print(f"{first:>18}" + "".join(f"{value:18.{digits}f}" for value in values))


if __name__ == "__main__":
    main()
