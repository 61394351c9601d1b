"""Training a super-net and keeping it (section 3.2.1)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from opanas_cli import __version__
from opanas_cli.detection.checkpoints import SUPER_NET_FORMAT, read_checkpoint, write_checkpoint
from opanas_cli.detection.config_stages import search_space, stage_settings, super_net_stage
from opanas_cli.detection.runs import Progress, ProgressHook, build_runner, training
from opanas_cli.errors import InvalidCheckpointError

LOSS_WINDOW = 10


@dataclass(frozen=True)
class TrainedSuperNet:
    """A trained super-net: its file, and the mean loss over the first and the last ten steps that this process ran.

    The losses are None where a resumed run had nothing left to do.
    """

    path: Path
    steps: int
    loss_at_start: float | None
    loss_at_end: float | None
    edge_importance: list[float]


def train_super_net(
    config: Config,
    work_dir: Path,
    seed: int,
    device: torch.device,
    resume: bool = False,
    progress: Progress | None = None,
) -> TrainedSuperNet:
    """Train the super-net of `config` and write ``supernet.pth``.

    Raises:
        InvalidConfigError: the neck is no super-net, or a setting is unknown.
        OpanasError: the loss is not finite.
    """
    hook = ProgressHook(progress)
    runner = build_runner(super_net_stage(config, seed), work_dir / "train-supernet", seed, device, resume, hook)
    with training(config):
        runner.train()
    detector = runner.model.detector
    path = work_dir / "supernet.pth"
    space = search_space(config)
    content: dict[str, Any] = {
        "format": SUPER_NET_FORMAT,
        "version": 1,
        "state_dict": {name: value.cpu() for name, value in detector.state_dict().items()},
        "meta": {
            "opanas_version": __version__,
            "config": config.pretty_text,
            "seed": seed,
            "steps": runner.iter,
            "search_split": float(stage_settings(config, "supernet").search_split),
            "space": {
                "num_nodes": space.num_nodes,
                "kind": str(space.kind),
                "paths": [str(path) for path in space.paths],
            },
            "classes": list(runner.train_dataloader.dataset.metainfo.get("classes", ())),
        },
    }
    write_checkpoint(content, path)
    importance = detector.neck.edge_importance
    first, last = hook.losses[:LOSS_WINDOW], hook.losses[-LOSS_WINDOW:]
    return TrainedSuperNet(
        path,
        runner.iter,
        sum(first) / len(first) if first else None,
        sum(last) / len(last) if last else None,
        [] if importance is None else importance.detach().cpu().tolist(),
    )


def read_super_net(path: Path) -> dict[str, Any]:
    """The content of ``supernet.pth``.

    Raises:
        InvalidCheckpointError: it is something else.
    """
    content = read_checkpoint(path)
    if content.get("format") != SUPER_NET_FORMAT or not isinstance(content.get("meta"), dict):
        raise InvalidCheckpointError(f"{path}: is not a super-net; make one with opanas train-supernet")
    if content.get("version") != 1:
        raise InvalidCheckpointError(
            f"{path}: is of version {content.get('version')!r}, and this opanas reads version 1; update opanas"
        )
    split = content["meta"].get("search_split")
    if not isinstance(split, float) or not 0 <= split < 1:
        raise InvalidCheckpointError(f"{path}: meta.search_split must be a fraction below 1, but got {split!r:.40}")
    return content
