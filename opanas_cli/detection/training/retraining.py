"""Training one detector in full, and its final average precision (section 4.1.3)."""

from __future__ import annotations

import copy
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.runner import Runner

from opanas_cli import __version__
from opanas_cli.detection.checkpoints import are_numbers, read_checkpoint, write_checkpoint
from opanas_cli.detection.costs.profiling import detector_cost
from opanas_cli.detection.processes.group import from_first
from opanas_cli.detection.processes.replicas import DetectorReplica, original, replicate
from opanas_cli.detection.spent import Spent, of_all_processes
from opanas_cli.detection.training.progress import FiniteLoss, OnStep, ProgressHook
from opanas_cli.detection.training.run_identity import finished, result_identity
from opanas_cli.detection.training.runner import build_runner, measure_weights
from opanas_cli.errors import InvalidConfigError
from opanas_cli.search.cost import Cost
from opanas_cli.search.evaluator import defined


@dataclass(frozen=True)
class TrainedDetector:
    """A trained detector: its file, what it costs, and its metrics that are defined on the test split.

    `found` means that it was trained and tested before, and nothing was left to do; else `spent` is what the training
    cost.
    """

    path: Path
    cost: Cost
    metrics: dict[str, float]
    spent: Spent | None = None
    found: bool = False


def train_detector(
    config: Config,
    work_dir: Path,
    seed: int,
    device: torch.device,
    resume: bool = False,
    on_step: OnStep | None = None,
    weights: dict[str, torch.Tensor] | None = None,
) -> TrainedDetector:
    """Train the detector of an mmengine config, test it, and write ``detector.pth``.

    Raises InvalidConfigError if there is no test split, OpanasError if the loss is not finite.

    Args:
        config: a config of a whole run, as `sub_net_config` makes it or as `opanas export` writes it.
        weights: to begin with instead of an initialisation, all of them by name.
    """
    _require_test(config)
    cost = detector_cost(config)
    path = work_dir / "detector.pth"
    start = None if weights is None else _digest(weights)
    identity = result_identity(config, seed, inherited=start)
    meta = {"opanas_version": __version__, "config": config.pretty_text, "settings": identity, "seed": seed}
    if resume and (found := from_first(lambda: _finished_metrics(path, identity))):
        return TrainedDetector(path, cost, found, found=True)
    runnable = copy.deepcopy(config)
    replicate(runnable, DetectorReplica)
    hook = ProgressHook(on_step, FiniteLoss("lower the learning rate or clip gradients"))
    runner = build_runner(runnable, work_dir / "retrain", seed, device, resume, hook, weights, inherited=start)
    runner.train()
    spent = of_all_processes(runner.spent.spent())
    # Written before the test too, which may fail although the training did not.
    _write_detector(path, runner, meta)
    metrics = defined(runner.test())
    _write_detector(path, runner, {**meta, "metrics": metrics})
    return TrainedDetector(path, cost, metrics, spent)


def measure_detector(config: Config, work_dir: Path, seed: int, device: torch.device, weights: Path) -> TrainedDetector:
    """Test the detector of an mmengine config with the weights of a file, ours or an imported one. Nothing is trained.

    Raises InvalidConfigError if there is no test split, InvalidCheckpointError if the weights are not this detector's.
    """
    _require_test(config)
    runnable = copy.deepcopy(config)
    replicate(runnable, DetectorReplica)
    metrics = measure_weights(runnable, work_dir / "test", seed, device, weights)
    return TrainedDetector(weights, detector_cost(config), defined(metrics))


def _require_test(config: Config) -> None:
    if not config.get("test_dataloader") or not config.get("test_evaluator"):
        raise InvalidConfigError(f"{config.filename}: has no test_dataloader and test_evaluator to measure AP with")


def _finished_metrics(path: Path, identity: str) -> dict[str, float] | None:
    """The metrics in a detector's file, if a run of this identity ended with it and has tested it."""
    content = finished(lambda: read_checkpoint(path), identity)
    metrics = content["meta"].get("metrics") if content else None
    return metrics if isinstance(metrics, dict) and are_numbers(list(metrics.values())) else None


def _digest(weights: dict[str, torch.Tensor]) -> str:
    """The SHA-256 of named tensors, in hex."""
    digest = hashlib.sha256()
    for name, value in weights.items():
        digest.update(name.encode() + value.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _write_detector(path: Path, runner: Runner, meta: dict[str, Any]) -> None:
    if not is_main_process():
        return
    classes = list(runner.train_loop.dataloader.dataset.metainfo.get("classes", ()))
    state = {name: value.cpu() for name, value in original(runner.model).state_dict().items()}
    write_checkpoint({"state_dict": state, "meta": {**meta, "dataset_meta": {"classes": classes}}}, path)
