"""Times the gradients of one super-net step: the backbone shared by the K sub-nets, against K full passes.

Both do the same: the mean gradient of K fairly sampled sub-nets, on one generated batch, with one model. They take
turns and the fastest run of each counts, so that other work on the machine disturbs little.

    python benchmarks/super_net_step.py --device cpu --batch-size 8 --repeats 3
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from opanas_cli.detection.config_files import load_config
from opanas_cli.detection.config_stages import super_net_stage
from opanas_cli.detection.devices import select_device
from opanas_cli.detection.evaluation import build_detector
from opanas_cli.detection.runs import silenced
from opanas_cli.detection.shapes import generate_shapes
from opanas_cli.detection.super_net_detector import SuperNetDetector
from opanas_cli.search.fair_sampling import fair_genotypes, step_generator

Gradients = Callable[[SuperNetDetector, Any, int], None]


def shared(model: SuperNetDetector, batch: Any, step: int) -> None:
    """The gradients as training computes them."""
    optimizer = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.02))
    model.accumulate_gradients(batch, _genotypes(model, step), optimizer)


def full_passes(model: SuperNetDetector, batch: Any, step: int) -> None:
    """The gradients by a forward and a backward pass of the whole detector for each sub-net."""
    genotypes = _genotypes(model, step)
    for genotype in genotypes:
        data = model.data_preprocessor(batch, True)
        with model.detector.neck.running(genotype):
            losses = model.detector.loss(data["inputs"], data["data_samples"])
        (model.detector.parse_losses(losses)[0] / len(genotypes)).backward()
    (model.l1_weight * model.detector.neck.edge_l1()).backward()


METHODS: dict[str, Gradients] = {"shared": shared, "full_passes": full_passes}


def _genotypes(model: SuperNetDetector, step: int) -> Any:
    return fair_genotypes(model.detector.neck.search_space, step_generator(model.seed, step))


def measure(config: Config, device: torch.device, repeats: int) -> dict[str, Any]:
    """Seconds of each method (fastest run), and how many times faster sharing is."""
    stage = super_net_stage(config, seed=0)
    torch.manual_seed(0)
    with silenced(), DefaultScope.overwrite_default_scope("mmdet"):
        model = build_detector(stage)
        # mmengine tells of each weight that it initialises.
        MMLogger.get_current_instance().setLevel("ERROR")
        model.init_weights()
        model.to(device).train()
        batch = next(iter(Runner.build_dataloader(stage.train_dataloader)))
    seconds: dict[str, list[float]] = {name: [] for name in METHODS}
    for repeat in range(repeats + 1):
        for name, method in METHODS.items():
            model.zero_grad()
            start = _now(device)
            method(model, batch, repeat)
            if repeat > 0:  # The first one warms up.
                seconds[name].append(_now(device) - start)
    fastest = {name: min(values) for name, values in seconds.items()}
    return {
        "sub_nets": len(_genotypes(model, 0)),
        **{f"{name}_seconds": value for name, value in fastest.items()},
        "times_faster": fastest["full_passes"] / fastest["shared"],
    }


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def main() -> None:
    """Measure, and print a line for each method or a JSON document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:i (default: cpu)")
    parser.add_argument("--batch-size", type=int, default=8, help="images of 128×128 pixels (default: 8)")
    parser.add_argument("--repeats", type=int, default=3, help="timed runs of each method (default: 3)")
    parser.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
    options = parser.parse_args()
    if min(options.repeats, options.batch_size) < 1:
        parser.error("--repeats and --batch-size must be at least 1")
    device = select_device(options.device)
    with tempfile.TemporaryDirectory() as folder:
        generate_shapes(Path(folder), num_train=2 * options.batch_size, num_val=1)
        overrides = (f"data_root={folder}", f"supernet.batch_size={options.batch_size}", "supernet.search_split=0.0")
        row = measure(load_config("shapes", overrides), device, options.repeats)
    facts = {"device": str(device), "threads": torch.get_num_threads(), "torch": torch.__version__}
    if options.json:
        print(json.dumps({"version": 1, **facts, "batch_size": options.batch_size, **row}, indent=2))
        return
    print(", ".join(f"{name} {value}" for name, value in facts.items()))
    print(f"one step of {row['sub_nets']} sub-nets, config shapes, batch {options.batch_size}")
    print(f"  shared backbone  {row['shared_seconds']:8.3f} s")
    print(f"  full passes      {row['full_passes_seconds']:8.3f} s   {row['times_faster']:.2f} times the shared step")


if __name__ == "__main__":
    main()
