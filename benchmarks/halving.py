"""Measures what successive halving costs: how often it loses the winner of a population or a search, and how much AP.

Halving evaluates all candidates on a quarter of the images and only the better half on all of them. Here some hundred
random genotypes are evaluated on both once. Then many populations are drawn from them, and the winner that halving
leaves is compared with the true one: for populations of any genotypes, as in the first generation, and of the fittest
third alone, whose differences are small, as in later ones. However many populations are drawn, there are only as many
different winners as the table tells. Then evolution searches from several seeds with halving and without, and the best
genotypes of both are compared by their AP on all images.

    python benchmarks/halving.py --device cpu
    python benchmarks/halving.py --supernet runs/quickstart/supernet.pth --data-root runs/quickstart/data --json
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from generated_images import add_super_net_options, super_net_of
from mmengine.config import Config
from numpy.typing import NDArray
from remembering import Costs, Remembering
from scipy.stats import kendalltau

from opanas_cli.detection.configs.necks import search_space
from opanas_cli.detection.configs.sections import section_of
from opanas_cli.detection.costs.profiling import CostModel
from opanas_cli.detection.evaluating.evaluator import FIRST_SHARE, SuperNetEvaluator
from opanas_cli.detection.processes.devices import select_device
from opanas_cli.detection.super_net_file import read_super_net
from opanas_cli.genotype import Genotype
from opanas_cli.genotype.liveness import prune
from opanas_cli.search import Constraints, Evolution, History, StrategySettings, run_search
from opanas_cli.search.evaluator import Evaluation
from opanas_cli.search.strategies.operators import sample

HALF = 2
THIRD = 3
PARENTS = 5
"""One candidate in five becomes a parent, as the paper's 10 of 50."""

Values = NDArray[np.float64]


def distinct_genotypes(config: Config, count: int, rng: np.random.Generator) -> list[Genotype]:
    """Random genotypes of the config's space, no two the same."""
    space = search_space(config)
    found: dict[Genotype, None] = {}
    while len(found) < count:
        found[sample(space, rng)] = None
    return list(found)


class Evaluations:
    """Genotypes on all images of the search split and on a quarter of them, each evaluated once."""

    def __init__(self, config: Config, super_net: Path, device: torch.device) -> None:
        content = read_super_net(super_net)
        arguments = config, content["state_dict"], super_net, content["meta"]["search_split"]
        section = replace(section_of(config, "search"), metric="AP", max_images=None, halving=False)
        full = SuperNetEvaluator(*arguments, device, section)
        images = math.ceil(FIRST_SHARE * full.num_images)
        quarter = SuperNetEvaluator(*arguments, device, replace(section, max_images=images))
        self.images, self.quarter_images = full.num_images, quarter.num_images
        self.full, self.quarter = Remembering(full), Remembering(quarter)


class Halving:
    """An evaluator that does what `SuperNetEvaluator` does with `halving`, from remembered evaluations."""

    def __init__(self, evaluations: Evaluations) -> None:
        self.evaluations = evaluations

    def evaluate(self, genotypes: Sequence[Genotype]) -> list[Evaluation]:
        """See `Evaluator.evaluate`."""
        share = self.evaluations.quarter_images / self.evaluations.images
        found = [replace(one, image_share=share) for one in self.evaluations.quarter.evaluate(genotypes)]
        kept = better_half(np.array([one.metrics["AP"] for one in found]))
        whole = self.evaluations.full.evaluate([genotypes[index] for index in kept])
        for index, one in zip(kept, whole, strict=True):
            found[index] = one
        return found


def better_half(quarter: Values) -> NDArray[np.intp]:
    """The candidates that halving evaluates on all images, by their indices, best first."""
    return np.argsort(-quarter, kind="stable")[: math.ceil(len(quarter) / HALF)]


def compare_searches(
    config: Config, evaluations: Evaluations, settings: StrategySettings, seeds: Sequence[int]
) -> dict[str, Any]:
    """What evolution finds from each seed without halving and with it.

    Returns:
        `winner_changed`, the number of seeds whose best genotypes differ; `ap_lost`, of each seed, negative where the
        search with halving found the better one.
    """
    space, cost_of = search_space(config), Costs(CostModel(config))
    changed, lost = 0, []
    for seed in seeds:
        best = []
        for evaluator in (evaluations.full, Halving(evaluations)):
            strategy = Evolution(space, settings, seed)
            size = settings.population
            found = run_search(strategy, evaluator, cost_of, Constraints(), History(), batch_size=size)
            best.append(found.best.genotype)
        changed += prune(best[0]) != prune(best[1])
        without, halved = (one.metrics["AP"] for one in evaluations.full.evaluate(best))
        lost.append(without - halved)
    return {
        "seeds": len(seeds),
        "population": settings.population,
        "generations": settings.generations,
        "winner_changed": changed,
        "mean_ap_lost": float(np.mean(lost)),
        "ap_lost": lost,
    }


def draw_populations(full: Values, quarter: Values, size: int, count: int, rng: np.random.Generator) -> dict[str, Any]:
    """Over `count` populations of `size` candidates: what is lost by keeping the better half on a quarter.

    Returns:
        `distinct_winners`, how many genotypes are the true winner of some population; `winner_lost`, the share of
        populations; `ap_lost`, mean and most over the populations; `parents_lost`, the
        share of the fittest fifth that halving drops.
    """
    lost_ap, lost_parents, winners = [], [], set()
    for _ in range(count):
        population = rng.choice(len(full), size, replace=False)
        kept = population[better_half(quarter[population])]
        fittest = population[np.argsort(-full[population], kind="stable")]
        winners.add(int(fittest[0]))
        lost_ap.append(full[fittest[0]] - full[kept].max())
        lost_parents.append(np.mean(~np.isin(fittest[: max(size // PARENTS, 1)], kept)))
    return {
        "distinct_winners": len(winners),
        "winner_lost": float(np.mean(np.array(lost_ap) > 0)),
        "mean_ap_lost": float(np.mean(lost_ap)),
        "max_ap_lost": float(np.max(lost_ap)),
        "parents_lost": float(np.mean(lost_parents)),
    }


def measure(
    config: Config, evaluations: Evaluations, candidates: int, size: int, populations: int, seed: int
) -> dict[str, Any]:
    """What halving loses of populations, and what it saves."""
    rng = np.random.default_rng(seed)
    genotypes = distinct_genotypes(config, candidates, rng)
    full, quarter = (
        np.array([one.metrics["AP"] for one in evaluator.evaluate(genotypes)])
        for evaluator in (evaluations.full, evaluations.quarter)
    )
    images, quarter_images = evaluations.images, evaluations.quarter_images
    best_third = np.argsort(-full, kind="stable")[: candidates // THIRD]
    rows = {}
    for name, pool in (("any", np.arange(candidates)), ("fittest_third", best_third)):
        rows[name] = {
            "candidates": len(pool),
            "mean_ap": float(full[pool].mean()),
            "kendall": float(kendalltau(quarter[pool], full[pool]).statistic),
            **draw_populations(full[pool], quarter[pool], size, populations, rng),
        }
    kept = math.ceil(size / HALF)
    return {
        "images": images,
        "quarter_images": quarter_images,
        "population": size,
        "populations": populations,
        # The better half sees only the images that it has not seen.
        "pairs_saved": 1 - (size * quarter_images + kept * (images - quarter_images)) / (size * images),
        "pools": rows,
    }


def main() -> None:
    """Measure, and print a table or a JSON document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_super_net_options(parser)
    parser.add_argument("--candidates", type=int, default=300, help="genotypes to evaluate (default: 300)")
    parser.add_argument("--population", type=int, default=50, help="candidates of a population (default: 50)")
    parser.add_argument("--populations", type=int, default=1000, help="how many to draw (default: 1000)")
    parser.add_argument("--search-population", type=int, default=20, help="of the searches (default: 20)")
    parser.add_argument("--search-generations", type=int, default=5, help="after the random one (default: 5)")
    parser.add_argument("--seeds", type=int, default=5, help="searches with and without halving (default: 5)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:i (default: cpu)")
    parser.add_argument("--seed", type=int, default=0, help="of training and drawing (default: 0)")
    parser.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
    options = parser.parse_args()
    if options.population < 2 or options.candidates < 2 * THIRD * options.population or options.populations < 1:
        parser.error("--candidates must be at least six times --population, that at least 2, --populations at least 1")
    if min(options.search_population // 2, options.search_generations + 1, options.seeds, options.epochs) < 1:
        parser.error("--search-population must be at least 2, --seeds and --epochs at least 1")
    device = select_device(options.device)
    settings = StrategySettings(
        options.search_population, options.search_generations, max(options.search_population // PARENTS, 1)
    )
    with tempfile.TemporaryDirectory() as folder:
        config, super_net = super_net_of(options, Path(folder), options.seed, device)
        evaluations = Evaluations(config, super_net, device)
        sizes = (options.candidates, options.population, options.populations)
        result = measure(config, evaluations, *sizes, options.seed)
        result["searches"] = compare_searches(config, evaluations, settings, range(options.seeds))
    if options.json:
        print(json.dumps({"version": 1, "device": str(device), "torch": torch.__version__, **result}, indent=2))
        return
    print(
        f"device {device}, torch {torch.__version__}; {options.populations} populations of {options.population}, "
        f"{result['images']} images, a quarter is {result['quarter_images']}"
    )
    print(f"image-candidate pairs saved: {result['pairs_saved']:.1%}")
    print(
        f"{'population of':<16}{'mean AP':>9}{'Kendall':>9}{'winners':>9}{'winner lost':>13}{'AP lost, mean':>15}"
        f"{'most':>8}{'parents lost':>14}"
    )
    for name, row in result["pools"].items():
        print(
            f"{name.replace('_', ' '):<16}{row['mean_ap']:>9.4f}{row['kendall']:>9.3f}{row['distinct_winners']:>9}"
            f"{row['winner_lost']:>13.1%}{row['mean_ap_lost']:>15.5f}{row['max_ap_lost']:>8.4f}{row['parents_lost']:>14.1%}"
        )
    searches = result["searches"]
    print(
        f"the winner of {searches['winner_changed']} searches of {searches['seeds']} changes; AP lost: mean "
        f"{searches['mean_ap_lost']:.5f}, each {', '.join(f'{lost:.5f}' for lost in searches['ap_lost'])}"
    )


if __name__ == "__main__":
    main()
