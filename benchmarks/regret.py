"""What search strategies find among all necks of the ground truth: what their best lacks to the best of all.

    python benchmarks/regret.py --setting all-xboth1 [--finalists 8] [--max-macs 0.227]
    python benchmarks/regret.py

A candidate's fitness is what a super-net of benchmarks/rankings.py gives it, those of a setting in turn, or without
--setting its AP alone in the table of benchmarks/ground_truth.py, as a perfect super-net would. One of the finalists is
chosen by one training of each, as if these had been run at the end of the search; its worth is its mean AP by the other
seeds. Regret is in AP alone, to the best network within the limit. Nothing is trained.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from ground_truth import genotypes_of_the_space
from ground_truth_table import means_of, split_by_seed
from strategies import buildable, spread

from opanas_cli.formats.text import loads
from opanas_cli.genotype import Genotype, SearchSpace
from opanas_cli.genotype.architecture import Architecture
from opanas_cli.search import STRATEGIES, Constraints, Cost, History, StrategySettings, fittest, run_search
from opanas_cli.search.evaluator import Evaluation
from opanas_cli.search.findings import architectures

RESULTS = Path(__file__).parent / "results"
BUDGETS = (10, 20, 40, 80)
SEEDS = 2
"""Of the trainings that the table has of all networks."""


class Table:
    """Evaluates genotypes by what a table says of their architectures."""

    def __init__(self, fitness: Mapping[str, float], macs: Mapping[str, int]) -> None:
        self.lines = {Architecture(loads(line, line).genotype): line for line in fitness}
        self.fitness, self.macs = fitness, macs

    def evaluate(self, genotypes: Sequence[Genotype]) -> list[Evaluation]:
        """The fitness of each as its AP."""
        return [Evaluation({"AP": self.fitness[self.line(genotype)]}) for genotype in genotypes]

    def cost(self, genotype: Genotype) -> Cost:
        """Its MACs; parameters are not in question here."""
        return Cost(self.macs[self.line(genotype)], 0)

    def line(self, genotype: Genotype) -> str:
        """The genotype of the table that is this architecture."""
        return self.lines[Architecture(genotype)]


def found_by(
    table: Table, name: str, settings: StrategySettings, seed: int, finalists: int, limit: Constraints
) -> list[list[str]]:
    """The finalists of one search after each of the budgets."""
    strategy = STRATEGIES.all[name](SearchSpace(2), settings, seed)
    found = run_search(strategy, table, table.cost, limit, History(), batch_size=settings.population)
    ranked = (fittest(found.evaluated[:budget], budget) for budget in BUDGETS)
    return [[table.lines[one] for one in islice(architectures(candidates), finalists)] for candidates in ranked]


def judgements(rows: Sequence[Mapping[str, Any]], finalists: int) -> list[tuple[dict[str, float], dict[str, float]]]:
    """By what one finalist is chosen, and what each is worth, as often as the table has seeds of all networks."""
    if finalists == 1:
        return [(means_of(rows),) * 2]
    return [split_by_seed(rows, seed) for seed in range(SEEDS)]


def main() -> None:
    """Search many times, and print a table or a JSON document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--setting", help="of the super-net whose AP is searched on (default: AP alone)")
    parser.add_argument("--truth", type=Path, default=RESULTS / "ground_truth.json")
    parser.add_argument("--rankings", type=Path, default=RESULTS / "rankings.json")
    parser.add_argument("--seeds", type=int, default=100, metavar="N", help="searches of each strategy (100)")
    parser.add_argument("--finalists", type=int, default=1, metavar="N", help="trained alone at the end (1)")
    parser.add_argument("--max-macs", type=float, metavar="G", help="limit of the search (none)")
    parser.add_argument("--population", type=int, default=10, metavar="N", help="(10)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = json.loads(options.truth.read_text())["rows"]
    truth = means_of(rows)
    judged: list[Mapping[str, float]] = [truth]
    if options.setting:
        super_nets = json.loads(options.rankings.read_text())["rows"]
        judged = [row["AP"] for row in super_nets if row["setting"] == options.setting]
        if not judged:
            names = dict.fromkeys(row["setting"] for row in super_nets)
            parser.error(f"--setting: there is no {options.setting}; choose of {', '.join(names)}")
    if missing := len(genotypes_of_the_space()) - len(truth):
        sys.exit(f"{options.truth}: {missing} networks are not trained yet; benchmarks/ground_truth.py trains them")
    macs = {row["genotype"]: row["macs"] for row in rows}
    tables = [Table(fitness, macs) for fitness in judged]
    limit = Constraints(max_macs=None if options.max_macs is None else round(options.max_macs * 1e9))
    settings = StrategySettings(options.population, BUDGETS[-1] // options.population - 1, options.population // 2)
    best = max(ap for line, ap in truth.items() if limit.satisfied(Cost(macs[line], 0)))
    judging = judgements(rows, options.finalists)
    runs: dict[str, list[list[float]]] = {}
    for name in buildable(list(STRATEGIES.all), settings):
        runs[name] = []
        for seed in range(options.seeds):
            alone, worth = judging[seed % len(judging)]
            found = found_by(tables[seed % len(tables)], name, settings, seed, options.finalists, limit)
            runs[name].append([best - worth[max(lines, key=alone.__getitem__)] for lines in found])
    report = {
        name: {str(budget): spread(column) for budget, column in zip(BUDGETS, zip(*found, strict=True), strict=True)}
        for name, found in runs.items()
    }
    if options.json:
        print(json.dumps({"version": 1, "setting": options.setting, "seeds": options.seeds, "regret": report}))
        return
    print(f"regret in AP after so many evaluations, mean and greatest of {options.seeds} seeds")
    print(f"{'':12}" + "".join(f"{budget:>16}" for budget in BUDGETS))
    for name, row in report.items():
        print(f"{name:12}" + "".join(f"{cell['mean']:9.4f} {cell['max']:6.4f}" for cell in row.values()))


if __name__ == "__main__":
    main()
