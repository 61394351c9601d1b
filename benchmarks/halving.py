"""Measures what successive halving costs a search: how often it loses the winner of a population, and how much AP.

Halving evaluates all candidates on a quarter of the images and only the better half on all of them. Here some hundred
random genotypes are evaluated on both once. Then many populations are drawn from them, and the winner that halving
leaves is compared with the true one: for populations of any genotypes, as in the first generation, and of the fittest
third alone, whose differences are small, as in later ones.

    python benchmarks/halving.py --device cpu
    python benchmarks/halving.py --supernet runs/quickstart/supernet.pth --data-root runs/quickstart/data --json
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from numpy.typing import NDArray
from scipy.stats import kendalltau

from opanas_cli.detection.config_files import load_config
from opanas_cli.detection.config_stages import search_space
from opanas_cli.detection.devices import select_device
from opanas_cli.detection.evaluation import FIRST_SHARE, SuperNetEvaluator
from opanas_cli.detection.shapes import generate_shapes
from opanas_cli.detection.supernet_training import read_super_net, train_super_net
from opanas_cli.genotype import Genotype
from opanas_cli.search.operators import sample

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


def evaluate(
    config: Config, super_net: Path, genotypes: Sequence[Genotype], device: torch.device
) -> tuple[Values, Values, int, int]:
    """The AP of each genotype on all images and on a quarter of them, and how many images these are."""
    content = read_super_net(super_net)
    values, counts = [], []
    most: int | None = None
    for _ in range(2):
        evaluator = SuperNetEvaluator(
            config, content["state_dict"], super_net, content["meta"]["search_split"], most, device
        )
        values.append(np.array([metrics["AP"] for metrics in evaluator.evaluate(genotypes)]))
        counts.append(evaluator.num_images)
        most = math.ceil(FIRST_SHARE * evaluator.num_images)
    return values[0], values[1], counts[0], counts[1]


def draw_populations(full: Values, quarter: Values, size: int, count: int, rng: np.random.Generator) -> dict[str, Any]:
    """Over `count` populations of `size` candidates: what is lost by keeping the better half on a quarter.

    Returns:
        `winner_lost`, the share of populations; `ap_lost`, mean and most over the populations; `parents_lost`, the
        share of the fittest fifth that halving drops.
    """
    lost_ap, lost_parents = [], []
    for _ in range(count):
        population = rng.choice(len(full), size, replace=False)
        kept = population[np.argsort(-quarter[population], kind="stable")][: math.ceil(size / HALF)]
        fittest = population[np.argsort(-full[population], kind="stable")]
        lost_ap.append(full[fittest[0]] - full[kept].max())
        lost_parents.append(np.mean(~np.isin(fittest[: max(size // PARENTS, 1)], kept)))
    return {
        "winner_lost": float(np.mean(np.array(lost_ap) > 0)),
        "mean_ap_lost": float(np.mean(lost_ap)),
        "max_ap_lost": float(np.max(lost_ap)),
        "parents_lost": float(np.mean(lost_parents)),
    }


def measure(
    config: Config, super_net: Path, device: torch.device, candidates: int, size: int, populations: int, seed: int
) -> dict[str, Any]:
    """The table of the benchmark; see the module's docstring."""
    rng = np.random.default_rng(seed)
    genotypes = distinct_genotypes(config, candidates, rng)
    full, quarter, images, quarter_images = evaluate(config, super_net, genotypes, device)
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


def trained_super_net(folder: Path, seed: int, device: torch.device) -> tuple[Config, Path]:
    """The super-net of `shapes`, trained in a minute or two."""
    generate_shapes(folder / "data", seed=seed)
    config = load_config("shapes", (f"data_root={folder / 'data'}",))
    return config, train_super_net(config, folder, seed, device).path


def main() -> None:
    """Measure, and print a table or a JSON document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="shapes", help="of the super-net, a file or a name (default: shapes)")
    parser.add_argument("--supernet", type=Path, help="a supernet.pth of the config (default: train one on shapes)")
    parser.add_argument("--data-root", help="where the config's data is (default: as the config says)")
    parser.add_argument("--candidates", type=int, default=300, help="genotypes to evaluate (default: 300)")
    parser.add_argument("--population", type=int, default=50, help="candidates of a population (default: 50)")
    parser.add_argument("--populations", type=int, default=1000, help="how many to draw (default: 1000)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:i (default: cpu)")
    parser.add_argument("--seed", type=int, default=0, help="of training and drawing (default: 0)")
    parser.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
    options = parser.parse_args()
    if options.population < 2 or options.candidates < 2 * THIRD * options.population or options.populations < 1:
        parser.error("--candidates must be at least six times --population, that at least 2, --populations at least 1")
    device = select_device(options.device)
    with tempfile.TemporaryDirectory() as folder:
        if options.supernet is None:
            config, super_net = trained_super_net(Path(folder), options.seed, device)
        else:
            roots = (f"data_root={options.data_root}",) if options.data_root else ()
            config, super_net = load_config(options.config, roots), options.supernet
        sizes = (options.candidates, options.population, options.populations)
        result = measure(config, super_net, device, *sizes, options.seed)
    if options.json:
        print(json.dumps({"version": 1, "device": str(device), "torch": torch.__version__, **result}, indent=2))
        return
    print(
        f"device {device}, torch {torch.__version__}; {options.populations} populations of {options.population}, "
        f"{result['images']} images, a quarter is {result['quarter_images']}"
    )
    print(f"image-candidate pairs saved: {result['pairs_saved']:.1%}")
    print(
        f"{'population of':<16}{'mean AP':>9}{'Kendall':>9}{'winner lost':>13}{'AP lost, mean':>15}{'most':>8}"
        f"{'parents lost':>14}"
    )
    for name, row in result["pools"].items():
        print(
            f"{name.replace('_', ' '):<16}{row['mean_ap']:>9.4f}{row['kendall']:>9.3f}{row['winner_lost']:>13.1%}"
            f"{row['mean_ap_lost']:>15.5f}{row['max_ap_lost']:>8.4f}{row['parents_lost']:>14.1%}"
        )


if __name__ == "__main__":
    main()
