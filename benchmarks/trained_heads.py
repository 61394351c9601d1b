"""Whether a super-net ranks better by heads that are trained on behind each neck alone before it is judged.

    python benchmarks/trained_heads.py --of all-xboth1 --setting all-xboth1-heads50 --steps 50 --seeds 3

The super-nets are those that benchmarks/rankings.py --keep kept of another setting. Their heads were trained behind all
necks at once; here they are trained on behind each one, on the images that the super-net was trained on, by its
optimizer, whose learning rate falls linearly to 0. Backbone and neck stay as they are. The results get a row for each
super-net, which rankings.py and regret.py print.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ground_truth import HERE, config_of, genotypes_of_the_space
from mmdet.registry import DATASETS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from rankings import add, rows_of
from torch import nn

from opanas_cli.detection.configs.stages import super_net_stage
from opanas_cli.detection.data.sample_seeds import SeededSamples
from opanas_cli.detection.evaluating.evaluator import SuperNetEvaluator
from opanas_cli.detection.evaluating.population_pass import heads_on
from opanas_cli.detection.processes.random_states import seeded
from opanas_cli.detection.quiet import silenced
from opanas_cli.detection.super_net_file import super_net_for
from opanas_cli.formats.text import line_of
from opanas_cli.genotype import Genotype

SHARED = ("backbone", "neck", "data_preprocessor")
"""The parts of a detector that are the same for all necks."""


def main() -> None:
    """Add the rows that are missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--of", required=True, metavar="SETTING", help="of the super-nets")
    parser.add_argument("--setting", required=True, help="a name for the rows")
    parser.add_argument("--steps", type=int, default=50, help="batches behind each neck (50)")
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="super-nets (1)")
    parser.add_argument("--keep", type=Path, default=Path("runs/kept"), help="where they are")
    parser.add_argument("--genotypes", type=int, metavar="N", help="only the first N of the space")
    parser.add_argument("--work-dir", type=Path, default=Path("runs/ground-truth"), help="of ground_truth.py")
    parser.add_argument("--results", type=Path, default=HERE / "results" / "rankings.json")
    parser.add_argument("--cfg-options", nargs="*", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for seed in range(options.seeds):
        if (options.setting, seed) not in {(row["setting"], row["seed"]) for row in rows_of(options.results)}:
            add(options, row_of(options, seed))


def row_of(options: argparse.Namespace, seed: int) -> dict[str, Any]:
    """All necks, each judged by heads of its own."""
    path = options.keep / f"{options.of}-{seed}.pth"
    content, config = super_net_for(config_of(options), path)
    genotypes = genotypes_of_the_space()[: options.genotypes]
    started = time.process_time()
    return {
        "setting": options.setting,
        "options": options.cfg_options,
        "seed": seed,
        "steps": content["meta"]["steps"],
        "head_steps": options.steps,
        "AP": judged(config, content, path, genotypes, options.steps),
        "AP_many": {},
        "train_cpu_seconds": 0.0,
        "evaluate_cpu_seconds": round(time.process_time() - started, 1),
    }


def judged(config: Config, content: Any, path: Path, genotypes: list[Genotype], steps: int) -> dict[str, float]:
    """AP on the held-out images, of each neck with its heads."""
    split = content["meta"]["search_split"]
    evaluator = SuperNetEvaluator(config, content["state_dict"], path, split, torch.device("cpu"))
    detector, state, stage = evaluator.detector, content["state_dict"], super_net_stage(config, seed=0)
    batches = list(training_batches(stage.train_dataloader, steps))
    found = {}
    for genotype in genotypes:
        detector.load_state_dict(state)
        train_heads(detector, genotype, batches, stage.optim_wrapper)
        found[line_of(genotype)] = round(evaluator.evaluate([genotype])[0].metrics["AP"], 5)
    return found


def training_batches(loader: Config, steps: int) -> Iterator[Any]:
    """Batches as of the super-net's training, so without the held-out images: the same each time."""
    with silenced(), DefaultScope.overwrite_default_scope("mmdet"):
        images = SeededSamples(DATASETS.build(loader.dataset))
    rng, size = np.random.default_rng(0), loader.batch_size
    order = itertools.chain.from_iterable(rng.permutation(len(images)).tolist() for _ in itertools.count())
    for first in range(0, steps * size, size):
        yield pseudo_collate([images[next(order), seed] for seed in range(first, first + size)])


def train_heads(detector: nn.Module, genotype: Genotype, batches: list[Any], optimizer: Any) -> None:
    """Train all that is behind the neck, on all batches."""
    heads = nn.ModuleDict({name: part for name, part in detector.named_children() if name not in SHARED}).train()
    with DefaultScope.overwrite_default_scope("mmdet"):
        wrapper = build_optim_wrapper(heads, copy.deepcopy(optimizer))
    (group,) = wrapper.param_groups
    rate = group["lr"]
    for number, batch in enumerate(batches):
        group["lr"] = rate * (1 - number / len(batches))
        with seeded(number):
            data = detector.data_preprocessor(copy.deepcopy(batch), True)
            with torch.no_grad(), detector.neck.running(genotype):
                pyramid = detector.extract_feat(data["inputs"])
            losses = heads_on(detector, pyramid).loss(data["inputs"], data["data_samples"])
            wrapper.update_params(detector.parse_losses(losses)[0])
    heads.eval()


if __name__ == "__main__":
    main()
