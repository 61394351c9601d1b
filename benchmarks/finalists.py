"""What the training of finalists finds, by the tables of benchmarks/ground_truth.py.

    python benchmarks/ground_truth.py --seeds 1 --sample 40 --results benchmarks/results/ground_truth_1_epoch.json \
        --cfg-options retrain.epochs=1
    python benchmarks/ground_truth.py --seeds 1 --sample 40 --results benchmarks/results/ground_truth_2_epochs.json \
        --cfg-options retrain.epochs=2
    python benchmarks/finalists.py

Eight networks are drawn at random many times, and one is chosen by one training of each, in full or by successive
halving, which drops the worse half after 1 and after 2 of the 4 epochs, as `opanas evolve --finalists 8` does. What a
network is worth is its mean AP by the other seeds. Nothing is trained.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from ground_truth_table import means_of, split_by_seed

from opanas_cli.statistics.rank_correlation import kendall

RESULTS = Path(__file__).parent / "results"
ROUNDS = (RESULTS / "ground_truth_1_epoch.json", RESULTS / "ground_truth_2_epochs.json")
SEED = 0
"""Of the trainings that choose."""


def chosen(lines: Sequence[str], rounds: Sequence[Mapping[str, float]]) -> str:
    """The one of two to the power of as many networks as there are rounds, each of which drops the worse half."""
    left = list(lines)
    for judged in rounds:
        left = sorted(left, key=judged.__getitem__, reverse=True)[: len(left) // 2]
    (last,) = left
    return last


def main() -> None:
    """Draw and choose many times, and print a table or a JSON document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--truth", type=Path, default=RESULTS / "ground_truth.json")
    parser.add_argument("--rounds", type=Path, nargs="+", default=ROUNDS, help="tables of shorter trainings")
    parser.add_argument("--draws", type=int, default=1000, metavar="N", help="(1000)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    rows = json.loads(options.truth.read_text())["rows"]
    full, worth = split_by_seed(rows, SEED)
    rounds = [means_of(json.loads(path.read_text())["rows"]) for path in options.rounds]
    lines = [line for line in worth if all(line in judged for judged in (full, *rounds))]
    rng = np.random.default_rng(0)
    found: dict[str, list[float]] = {"halving": [], "in full": [], "the best": []}
    for _ in range(options.draws):
        drawn = [lines[place] for place in rng.permutation(len(lines))[: 2 ** (len(rounds) + 1)]]
        ways = (chosen(drawn, [*rounds, full]), max(drawn, key=full.__getitem__), max(drawn, key=worth.__getitem__))
        for name, line in zip(found, ways, strict=True):
            found[name].append(worth[line] - float(np.mean([worth[other] for other in drawn])))
    report = {
        "networks": len(lines),
        "tau": [
            kendall([judged[line] for line in lines], [worth[line] for line in lines]) for judged in (*rounds, full)
        ],
        "gain": {name: float(np.mean(values)) for name, values in found.items()},
    }
    if options.json:
        print(json.dumps({"version": 1, **report}))
        return
    print(f"{len(lines)} networks; Kendall tau of each round: {', '.join(f'{tau:.2f}' for tau in report['tau'])}")
    print("AP of the one chosen above the mean of those drawn")
    for name, gain in report["gain"].items():
        print(f"{name:>9} {gain:7.4f}")


if __name__ == "__main__":
    main()
