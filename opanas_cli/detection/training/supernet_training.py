"""Training a super-net and saving it (section 3.2.1)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import is_main_process

from opanas_cli import __version__
from opanas_cli.detection.checkpoints import write_checkpoint
from opanas_cli.detection.configs.sections import section_of
from opanas_cli.detection.configs.stages import super_net_stage
from opanas_cli.detection.costs.profiling import CostModel
from opanas_cli.detection.processes.group import from_first
from opanas_cli.detection.processes.replicas import SuperNetReplica, original, replicate
from opanas_cli.detection.super_net_file import SUPER_NET_FORMAT, VERSION, read_super_net, task_of
from opanas_cli.detection.training.progress import OnStep, ProgressHook
from opanas_cli.detection.training.run_identity import finished, result_identity
from opanas_cli.detection.training.runner import build_runner
from opanas_cli.detection.training.super_net_detector import SuperNetDetector  # noqa: F401  (registers it)
from opanas_cli.detection.training.watching import WatchHook, watched_visualizer


@dataclass(frozen=True)
class TrainedSuperNet:
    """A trained super-net: its file, and the mean loss over the first and over the last steps of its training.

    The losses are over up to ten steps. `found` means that it was trained before and nothing was left to do. `watched`
    is the mean AP of random sub-nets over the training, if `supernet.watch_interval` asks for it.
    """

    path: Path
    steps: int
    loss_at_start: float
    loss_at_end: float
    edge_importance: list[float]
    found: bool = False
    watched: list[dict[str, float]] = field(default_factory=list)

    @classmethod
    def of(cls, content: dict[str, Any], path: Path, found: bool = False) -> TrainedSuperNet:
        """The super-net of a file and its content."""
        meta, importance = content["meta"], content["state_dict"].get("neck.edge_importance")
        importances = [] if importance is None else importance.tolist()
        return cls(path, meta["steps"], *meta["losses"], importances, found, meta.get("watched", []))


def train_super_net(
    config: Config,
    work_dir: Path,
    seed: int,
    device: torch.device,
    resume: bool = False,
    on_step: OnStep | None = None,
) -> TrainedSuperNet:
    """Train the super-net of `config` and write ``supernet.pth``.

    Raises InvalidConfigError if the neck is not a super-net, or a setting is unknown; OpanasError if the loss is not
    finite.
    """
    path = work_dir / "supernet.pth"
    runnable = super_net_stage(config, seed)
    identity = result_identity(runnable, seed)
    if resume and (found := from_first(lambda: _finished_super_net(path, identity))):
        return found
    CostModel(config)  # Refuses at once a config that a search could not count.
    hook, text = ProgressHook(on_step), config.pretty_text
    watch = WatchHook(config, seed, device)
    runnable.visualizer = watched_visualizer(config)
    replicate(runnable, SuperNetReplica)
    runner = build_runner(runnable, work_dir / "train-supernet", seed, device, resume, hook)
    runner.register_hook(watch)
    runner.train()
    detector = original(runner.model).detector
    section = section_of(config, "supernet")
    content: dict[str, Any] = {
        "format": SUPER_NET_FORMAT,
        "version": VERSION,
        "state_dict": {name: value.cpu() for name, value in detector.state_dict().items()},
        "meta": {
            "opanas_version": __version__,
            "config": text,
            "settings": identity,
            "seed": seed,
            "steps": runner.iter,
            "losses": list(hook.mean_losses(runner.iter)),
            "watched": watch.watched,
            "search_split": float(section.search_split),
            "split_by": section.split_by,
            **task_of(config),
        },
    }
    if is_main_process():
        write_checkpoint(content, path)
    return TrainedSuperNet.of(content, path)


def _finished_super_net(path: Path, identity: str) -> TrainedSuperNet | None:
    """The super-net in a file, if a run of this identity ended with it."""
    content = finished(lambda: read_super_net(path), identity)
    try:
        return TrainedSuperNet.of(content, path, found=True) if content else None
    except (KeyError, TypeError, AttributeError):  # It is damaged, and trained again.
        return None
