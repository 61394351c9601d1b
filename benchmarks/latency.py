"""Checks the latency table: what it predicts for random genotypes against measurements of their whole detectors.

    python benchmarks/latency.py --config shapes --device cpu
    python benchmarks/latency.py --config coco --device cuda --json

The detectors are those that would be exported, with the weights of the super-net; without --supernet those are random.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from scipy.stats import kendalltau, spearmanr
from torch import nn

from opanas_cli.detection.checkpoints import load_weights
from opanas_cli.detection.configs.building import build_detector
from opanas_cli.detection.configs.files import load_config
from opanas_cli.detection.configs.necks import search_space, with_sub_net
from opanas_cli.detection.costs.latency import detector_latencies_ms, measure_latencies
from opanas_cli.detection.processes.devices import select_device
from opanas_cli.detection.quiet import silenced
from opanas_cli.detection.super_net_file import read_super_net
from opanas_cli.formats.text import line_of
from opanas_cli.genotype import Genotype
from opanas_cli.necks.super_net import inherited_state_dict
from opanas_cli.search.strategies.operators import sample


def super_net_detector(config: Config, checkpoint: Path | None, device: torch.device) -> nn.Module:
    """The detector with the super-net, trained or random."""
    torch.manual_seed(0)
    config.model.backbone.init_cfg = None
    with silenced():
        detector = build_detector(config)
        # mmengine tells of each weight that it initialises.
        MMLogger.get_current_instance().setLevel("ERROR")
        detector.init_weights()
        if checkpoint is not None:
            load_weights(detector, read_super_net(checkpoint).get("state_dict"), checkpoint)
    return detector.to(device).eval()


def sub_net_detector(super_net: nn.Module, config: Config, genotype: Genotype) -> nn.Module:
    """The detector that would be exported, with the super-net's weights."""
    with silenced():
        detector = build_detector(with_sub_net(config, genotype))
    neck = inherited_state_dict(super_net.neck, genotype)
    neck.pop("edge_importance", None)
    others = {name: value for name, value in super_net.state_dict().items() if not name.startswith("neck.")}
    detector.load_state_dict({**others, **{f"neck.{name}": value for name, value in neck.items()}})
    return detector.to(next(super_net.parameters()).device).eval()


def measure(config: Config, checkpoint: Path | None, device: torch.device, count: int, seed: int) -> dict[str, Any]:
    """What the table predicts and what is measured for each genotype, and how far the two agree."""
    super_net = super_net_detector(config, checkpoint, device)
    table = measure_latencies(super_net, config, device)
    rng = np.random.default_rng(seed)
    genotypes = [sample(search_space(config), rng) for _ in range(count)]
    detectors = [sub_net_detector(super_net, config, genotype) for genotype in genotypes]
    measured = np.array(detector_latencies_ms(detectors, config, device))
    predicted = np.array([table.predict(genotype) for genotype in genotypes])
    errors = np.abs(predicted - measured) / measured
    return {
        "conditions": dict(table.conditions),
        "fixed_ms": table.fixed_ms,
        "sum_ms": table.sum_ms,
        "mean_relative_error": float(errors.mean()),
        "max_relative_error": float(errors.max()),
        "mean_signed_error": float(((predicted - measured) / measured).mean()),
        "spearman": float(spearmanr(predicted, measured).statistic),
        "kendall": float(kendalltau(predicted, measured).statistic),
        "genotypes": [
            {"genotype": line_of(genotype), "predicted_ms": float(guess), "measured_ms": float(truth)}
            for genotype, guess, truth in zip(genotypes, predicted, measured, strict=True)
        ],
    }


def main() -> None:
    """Measure, and print a line for each genotype or a JSON document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="shapes", help="a config's file or name (default: shapes)")
    parser.add_argument("--supernet", type=Path, help="a supernet.pth of the config (default: random weights)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:i (default: cpu)")
    parser.add_argument("--genotypes", type=int, default=20, help="how many random genotypes (default: 20)")
    parser.add_argument("--seed", type=int, default=0, help="of the genotypes (default: 0)")
    parser.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
    options = parser.parse_args()
    if options.genotypes < 3:
        parser.error("--genotypes must be at least 3: ranks need some")
    device = select_device(options.device)
    result = measure(load_config(options.config), options.supernet, device, options.genotypes, options.seed)
    if options.json:
        print(json.dumps({"version": 1, "config": options.config, **result}, indent=2))
        return
    print(", ".join(f"{name} {value}" for name, value in result["conditions"].items()))
    print(f"config {options.config}: fixed {result['fixed_ms']:.2f} ms, a sum {result['sum_ms']:.3f} ms")
    print(f"{'predicted':>12}{'measured':>12}  genotype")
    for row in result["genotypes"]:
        print(f"{row['predicted_ms']:9.2f} ms{row['measured_ms']:9.2f} ms  {row['genotype']}")
    print(
        f"relative error: mean {result['mean_relative_error']:.1%}, max {result['max_relative_error']:.1%}, "
        f"signed {result['mean_signed_error']:+.1%}; rank correlation: Spearman {result['spearman']:.3f}, "
        f"Kendall {result['kendall']:.3f}"
    )


if __name__ == "__main__":
    main()
