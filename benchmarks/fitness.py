"""Whether another fitness than AP ranks better: the loss on held-out images, or AP after a few steps of training.

    python benchmarks/fitness.py --supernet SUPERNET --by loss
    python benchmarks/fitness.py --supernet SUPERNET --by 50 --genotypes 36
    python benchmarks/fitness.py

The super-net is one of benchmarks/rankings.py --keep. A candidate begins with its weights; with a number, it is trained
on by itself for so many steps, and its AP is that on the held-out images. The last command prints only: each fitness
against AP alone in the table of benchmarks/ground_truth.py. Rows that the results have are not made again.
"""

from __future__ import annotations

import argparse
import copy
import json
import shutil
import time
from pathlib import Path
from typing import Any

import torch
from ground_truth import HERE, config_of, genotypes_of_the_space
from ground_truth_table import means_of
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from opanas_cli.atomic import write_atomically
from opanas_cli.detection.configs.building import build_detector
from opanas_cli.detection.configs.stages import search_dataset, training_part
from opanas_cli.detection.quiet import silenced
from opanas_cli.detection.super_net_file import super_net_for
from opanas_cli.detection.training.networks import inherited_weights, sub_net_config
from opanas_cli.detection.training.retraining import train_detector
from opanas_cli.formats.text import line_of
from opanas_cli.genotype import Genotype
from opanas_cli.statistics.estimate import Estimate, bootstrapped
from opanas_cli.statistics.rank_correlation import kendall

DRAWS = 2
"""A loss draws anchors and proposals at random: it is the mean of so many draws, the same for all candidates."""
SLOWER = 3
"""Trained on at the learning rate of a training alone divided by this, which falls to a tenth."""


def main() -> None:
    """Measure what has no value yet, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--supernet", type=Path, help="of the table's config")
    parser.add_argument("--by", help="loss, or a number of steps")
    parser.add_argument("--genotypes", type=int, default=None, metavar="N", help="the first N of the table (all)")
    parser.add_argument("--work-dir", type=Path, default=Path("runs/ground-truth"), help="of ground_truth.py")
    parser.add_argument("--truth", type=Path, default=HERE / "results" / "ground_truth.json")
    parser.add_argument("--results", type=Path, default=HERE / "results" / "fitness.json")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--cfg-options", nargs="*", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    torch.set_num_threads(1)
    truth = means_of(json.loads(options.truth.read_text())["rows"])
    if options.by:
        measure(options, [one for one in genotypes_of_the_space() if line_of(one) in truth][: options.genotypes])
    report = {by: report_of(by, row, truth) for by, row in rows_of(options.results).items()}
    if options.json:
        print(json.dumps({"version": 1, "fitness": report}))
        return
    for by, found in report.items():
        print(
            f"{by:>6}: τ {found['tau'] and Estimate.of(found['tau'])}, {found['networks']} networks, "
            f"{found['cpu_seconds']:.1f} s of processor time each"
        )


def report_of(by: str, row: dict[str, Any], truth: dict[str, float]) -> dict[str, Any]:
    """How a fitness ranks the networks that it was measured of, and what one costs."""
    lines = [line for line in row["values"] if line in truth]
    values = [-row["values"][line] if by == "loss" else row["values"][line] for line in lines]
    columns = [values, [truth[line] for line in lines]]
    return {
        "tau": bootstrapped(kendall, columns).document() if len(lines) > 2 else None,
        "networks": len(lines),
        "cpu_seconds": row["cpu_seconds"] / len(row["values"]),
    }


def rows_of(path: Path) -> dict[str, Any]:
    """The values of each fitness so far, by its name."""
    return json.loads(path.read_text())["rows"] if path.exists() else {}


def measure(options: argparse.Namespace, genotypes: list[Genotype]) -> None:
    """Add the values that are missing, each as it comes."""
    content, config = super_net_for(config_of(options), options.supernet)
    split = content["meta"]["search_split"]
    for genotype in genotypes:
        rows = rows_of(options.results)
        row = rows.setdefault(options.by, {"cpu_seconds": 0.0, "values": {}})
        if line_of(genotype) in row["values"]:
            continue
        started = time.process_time()
        stage = sub_net_config(config, genotype, edge_importance=True)
        weights = inherited_weights(config, genotype, options.supernet)
        if options.by == "loss":
            value = held_out_loss(config, stage, weights, split)
        else:
            value = trained_on(config, stage, weights, split, int(options.by), options.work_dir / "trained-on")
        row["values"][line_of(genotype)] = round(value, 5)
        row["cpu_seconds"] = round(row["cpu_seconds"] + time.process_time() - started, 1)
        write_atomically(options.results, json.dumps({"version": 1, "rows": rows}) + "\n")


def held_out_loss(config: Config, stage: Config, weights: dict[str, torch.Tensor], split: float) -> float:
    """The mean loss of a batch of the held-out images."""
    init_default_scope("mmdet")
    loading = dict(num_workers=0, persistent_workers=False, dataset=search_dataset(config, split, None))
    stage.model.backbone.pop("init_cfg", None)
    with silenced():
        batches = list(Runner.build_dataloader({**copy.deepcopy(config.val_dataloader), **loading}))
        model = build_detector(stage)
    model.load_state_dict(weights)
    model.train()
    losses = []
    with torch.no_grad():
        for draw in range(DRAWS):
            for batch in batches:
                torch.manual_seed(draw)
                data = model.data_preprocessor(copy.deepcopy(batch), True)
                losses.append(float(model.parse_losses(model.loss(data["inputs"], data["data_samples"]))[0]))
    return sum(losses) / len(losses)


def trained_on(
    config: Config, stage: Config, weights: dict[str, torch.Tensor], split: float, steps: int, folder: Path
) -> float:
    """AP on the held-out images after some steps on the others."""
    images = training_part(config, stage.train_dataloader.dataset, split)
    with silenced():
        init_default_scope("mmdet")
        available = len(Runner.build_dataloader(dict(stage.train_dataloader, dataset=copy.deepcopy(images))))
    epochs = -(-steps // available)
    images["data_fraction"] = min(1.0, steps / epochs / available)
    stage.train_dataloader.dataset = images
    stage.train_cfg.update(max_epochs=epochs, val_interval=epochs + 1)
    stage.optim_wrapper.optimizer.lr /= SLOWER
    stage.param_scheduler = [dict(type="LinearLR", start_factor=1.0, end_factor=0.1, by_epoch=False, end=steps)]
    stage.test_dataloader = dict(stage.val_dataloader, dataset=search_dataset(config, split, None))
    stage.test_evaluator = dict(type="DetectionAP")
    shutil.rmtree(folder, ignore_errors=True)
    trained = train_detector(stage, folder, 0, torch.device("cpu"), weights=weights)
    shutil.rmtree(folder)
    return trained.metrics["AP"]


if __name__ == "__main__":
    main()
