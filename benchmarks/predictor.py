"""Whether a predictor on top of a super-net ranks better than it, by the table of benchmarks/ground_truth.py.

    python benchmarks/predictor.py --setting all-xboth1

A ridge regression on the super-net's AP, on multiply-adds and on how often each path is on an edge is fitted to some
networks that were trained alone, drawn at random, and ranks the others. Nothing is trained.
"""

from __future__ import annotations

import argparse
import json
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
PENALTY = 1.0

Matrix = NDArray[np.float64]


def features_of(lines: list[str], judged: dict[str, float], macs: dict[str, int]) -> dict[str, Matrix]:
    """The standardised columns of each predictor, one row for each genotype."""
    paths = [loads(line, line).genotype.paths for line in lines]
    counts = [[own.count(path) for path in BUILT_IN_PATHS] for own in paths]
    columns = np.array([[judged[line], macs[line], *own] for line, own in zip(lines, counts, strict=True)])
    columns = (columns - columns.mean(0)) / np.maximum(columns.std(0), 1e-9)
    return {"AP": columns[:, :1], "AP, MACs": columns[:, :2], "AP, MACs, paths": columns}


def predicted(features: Matrix, alone: Matrix, fitted: NDArray[np.int64]) -> Matrix:
    """The AP of all genotypes, by those fitted."""
    chosen, mean = features[fitted], alone[fitted].mean()
    weights = np.linalg.solve(chosen.T @ chosen + PENALTY * np.eye(chosen.shape[1]), chosen.T @ (alone[fitted] - mean))
    return mean + features @ weights


def main() -> None:
    """Fit and rank many times, and print a table or a JSON document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--setting", required=True, help="of the super-net in the rankings")
    parser.add_argument("--truth", type=Path, default=RESULTS / "ground_truth.json")
    parser.add_argument("--rankings", type=Path, default=RESULTS / "rankings.json")
    parser.add_argument("--draws", type=int, default=200, metavar="N", help="of the networks to fit on (200)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    rows = json.loads(options.truth.read_text())["rows"]
    means, macs = means_of(rows), {row["genotype"]: row["macs"] for row in rows}
    judged = [row["AP"] for row in rows_of(options.rankings) if row["setting"] == options.setting]
    lines, rng = list(means), np.random.default_rng(0)
    alone = np.array([means[line] for line in lines])
    each = [features_of(lines, one, macs) for one in judged]
    report = []
    for count in FITTED:
        taus: dict[str, list[float]] = {name: [] for name in ("super-net", *each[0])}
        for draw in range(options.draws):
            features = each[draw % len(each)]
            fitted, others = np.split(rng.permutation(len(lines)), [count])
            ranked = {"super-net": features["AP"][:, 0]}
            ranked |= {name: predicted(columns, alone, fitted) for name, columns in features.items()}
            for name, values in ranked.items():
                taus[name].append(kendall(values[others], alone[others]))
        report.append({"fitted": count, **{name: float(np.mean(values)) for name, values in taus.items()}})
    if options.json:
        print(json.dumps({"version": 1, "setting": options.setting, "genotypes": len(lines), "mean_tau": report}))
        return
    print(f"mean Kendall tau on the other networks of {len(lines)}, {options.draws} draws, {len(each)} super-nets")
    print(f"{'fitted':>8}" + "".join(f"{name:>18}" for name in ("super-net", *each[0])))
    for row in report:
        print("".join(f"{value:>8}" if name == "fitted" else f"{value:18.3f}" for name, value in row.items()))


if __name__ == "__main__":
    main()
