"""Compares the search strategies: best AP against the number of evaluations, on one super-net, over several seeds.

    python benchmarks/strategies.py --plot benchmarks/strategies.svg
    python benchmarks/strategies.py --supernet runs/quickstart/supernet.pth --data-root runs/quickstart/data --json

Without --supernet the super-net of the config is trained first; `shapes` generates its images.
AP is that of the super-net on the held-out training images. It is deterministic, so a genotype is evaluated once,
whichever strategies and seeds meet it. Strategies whose packages are not installed are left out.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from generated_images import add_super_net_options, super_net_of
from numpy.typing import NDArray
from remembering import Costs, Remembering

from opanas_cli.atomic import replacing
from opanas_cli.detection.configs.necks import search_space
from opanas_cli.detection.configs.sections import section_of
from opanas_cli.detection.costs.profiling import CostModel
from opanas_cli.detection.evaluating.evaluator import SuperNetEvaluator
from opanas_cli.detection.processes.devices import select_device
from opanas_cli.detection.scoring.average_precision import METRICS
from opanas_cli.detection.super_net_file import read_super_net
from opanas_cli.errors import MissingDependencyError
from opanas_cli.genotype import Genotype, SearchSpace
from opanas_cli.search import STRATEGIES, Candidate, Constraints, Cost, Evaluator, History, StrategySettings, run_search
from opanas_cli.search.candidate import pareto_front

COLOURS = ("#0072B2", "#4D4D4D", "#009E73", "#D55E00", "#D0609F", "#B8BEC4")
MARKERS = "osv^DX"


def compare(
    space: SearchSpace,
    evaluator: Evaluator,
    cost_of: Callable[[Genotype], Cost],
    settings: StrategySettings,
    names: Sequence[str],
    num_seeds: int,
    metric: str,
    on_run: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Search with each strategy from each seed.

    Returns:
        For each strategy the best fitness so far after 1, 2, … evaluations of each seed, statistics of it at several
        budgets, and those of the hypervolume of the Pareto front, fitness against MACs.
    """
    remembering, costs = Remembering(evaluator), Costs(cost_of)
    searches: dict[str, list[tuple[Candidate, ...]]] = {}
    for name in names:
        for seed in range(num_seeds):
            strategy = STRATEGIES.all[name](space, settings, seed)
            result = run_search(
                strategy, remembering, costs, Constraints(), History(), metric=metric, batch_size=settings.population
            )
            searches.setdefault(name, []).append(result.evaluated)
            on_run(f"{name}, seed {seed}: best {result.best.fitness:.4f}, {len(remembering.known)} genotypes evaluated")
    volume_of = hypervolume_within([cost.macs for genotype, cost in costs.known.items()])
    budgets = [settings.population * count for count in doublings(settings.generations + 1)]
    return {
        "budgets": budgets,
        "distinct_genotypes": len(remembering.known),
        "strategies": {
            name: {
                "best": {str(budget): spread([best_after(run, budget) for run in runs]) for budget in budgets},
                "hypervolume": spread([volume_of(run) for run in runs]),
                "runs": [[best_after(run, count + 1) for count in range(settings.budget)] for run in runs],
            }
            for name, runs in searches.items()
        },
    }


def doublings(last: int) -> list[int]:
    """1, 2, 4, … and `last`."""
    return [2**power for power in range(last.bit_length()) if 2**power < last] + [last]


def best_after(candidates: Sequence[Candidate], count: int) -> float:
    """The best fitness of the first `count` candidates."""
    return max(candidate.fitness for candidate in candidates[:count])


def spread(values: Sequence[float]) -> dict[str, float]:
    """Mean, standard deviation of the sample, least and greatest."""
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return {"mean": float(np.mean(values)), "std": deviation, "min": min(values), "max": max(values)}


def hypervolume_within(macs: Sequence[int]) -> Callable[[Sequence[Candidate]], float]:
    """How much of the rectangle of fitness 0 to 1 and the given MACs is dominated by some candidates."""
    least, range_of = min(macs), max(max(macs) - min(macs), 1)

    def volume(candidates: Sequence[Candidate]) -> float:
        front = pareto_front(candidates, StrategySettings().against)
        ends = [*(candidate.cost.macs for candidate in front[1:]), least + range_of]
        # From its MACs to those of the next one, the fitness of each is the greatest.
        return sum(
            candidate.fitness * (end - candidate.cost.macs) / range_of
            for candidate, end in zip(front, ends, strict=True)
        )

    return volume


def plot(result: Mapping[str, Any], metric: str, path: Path) -> None:
    """Draw the mean of the seeds with the range that they span, for each strategy."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    matplotlib.rcParams["svg.hashsalt"] = "opanas"
    figure, axes = pyplot.subplots(figsize=(7, 4.2), layout="constrained")
    for place, (name, facts) in enumerate(result["strategies"].items()):
        runs: NDArray[np.float64] = np.array(facts["runs"])
        counts = np.arange(1, runs.shape[1] + 1)
        style: dict[str, Any] = {"color": COLOURS[place % len(COLOURS)]}
        marked = {"marker": MARKERS[place % len(MARKERS)], "markevery": [budget - 1 for budget in result["budgets"]]}
        axes.fill_between(counts, runs.min(axis=0), runs.max(axis=0), alpha=0.15, linewidth=0, **style)
        axes.plot(counts, runs.mean(axis=0), label=name, **style, **marked)
    axes.set_xlabel("evaluations")
    axes.set_ylabel(f"best {metric} in the super-net")
    axes.set_title(f"Mean and range of {len(next(iter(result['strategies'].values()))['runs'])} seeds", loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
    with replacing(path) as temporary:
        figure.savefig(temporary, metadata={"Date": None} if path.suffix == ".svg" else None)


def buildable(names: Sequence[str], settings: StrategySettings) -> list[str]:
    """Those of the strategies whose packages are installed; of the others a line on stderr tells."""
    built = []
    for name in names:
        try:
            STRATEGIES.all[name](SearchSpace(1), settings, 0)
        except MissingDependencyError as error:
            say(f"{name} is left out: {error}")
        else:
            built.append(name)
    return built


def say(line: str) -> None:
    """A line on stderr about what happens."""
    print(line, file=sys.stderr)


def main() -> None:
    """Compare, and print a table or a JSON document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_super_net_options(parser)
    parser.add_argument("--strategies", nargs="+", metavar="NAME", help="which to compare (default: all installed)")
    parser.add_argument("--population", type=int, default=20, help="candidates of a generation (default: 20)")
    parser.add_argument("--generations", type=int, default=11, help="generations after the random one (default: 11)")
    parser.add_argument("--top-k", type=int, default=10, help="parents of evolution (default: 10)")
    parser.add_argument("--seeds", type=int, default=5, help="searches of each strategy (default: 5)")
    parser.add_argument("--metric", choices=METRICS, default="AP", help="what is searched for (default: AP)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:i (default: cpu)")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the comparison into a .svg, .png or .pdf")
    parser.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
    options = parser.parse_args()
    names = options.strategies or list(STRATEGIES.all)
    if unknown := set(names) - set(STRATEGIES.all):
        parser.error(f"--strategies: there is no {min(unknown)}; choose of {', '.join(STRATEGIES.all)}")
    if min(options.population, options.seeds, options.generations + 1, options.top_k, options.epochs) < 1:
        parser.error("--population, --seeds, --top-k and --epochs must be at least 1, --generations at least 0")
    device = select_device(options.device)
    settings = StrategySettings(options.population, options.generations, options.top_k)
    if not (names := buildable(names, settings)):
        parser.error("--strategies: none of them can be built here")
    with tempfile.TemporaryDirectory() as folder:
        config, checkpoint = super_net_of(options, Path(folder), 0, device)
        content = read_super_net(checkpoint)
        split = content["meta"]["search_split"]
        section = replace(section_of(config, "search"), metric=options.metric, max_images=None, halving=False)
        evaluator = SuperNetEvaluator(config, content["state_dict"], checkpoint, split, device, section)
        num_images = evaluator.num_images
        space, cost_of = search_space(config), CostModel(config)
        result = compare(space, evaluator, cost_of, settings, names, options.seeds, options.metric, say)
    if options.plot:
        plot(result, options.metric, options.plot)
    facts = {"config": options.config, "device": str(device), "torch": torch.__version__, "images": num_images}
    if options.json:
        print(json.dumps({"version": 1, **facts, "metric": options.metric, "seeds": options.seeds, **result}, indent=2))
        return
    print(", ".join(f"{name} {value}" for name, value in facts.items()))
    print(
        f"best {options.metric} after so many evaluations, mean ± standard deviation of {options.seeds} seeds; "
        f"{result['distinct_genotypes']} genotypes evaluated"
    )
    print(f"{'':12}" + "".join(f"{budget:>17}" for budget in result["budgets"]) + f"{'hypervolume':>17}")
    for name, row in result["strategies"].items():
        cells = [*row["best"].values(), row["hypervolume"]]
        print(f"{name:12}" + "".join(f"{cell['mean']:9.4f} ±{cell['std']:.4f}" for cell in cells))


if __name__ == "__main__":
    main()
