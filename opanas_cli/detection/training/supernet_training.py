"""Training a super-net and keeping it (section 3.2.1)."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import is_main_process

from opanas_cli import __version__
from opanas_cli.atomic import writing_into
from opanas_cli.detection.checkpoints import SUPER_NET_FORMAT, read_checkpoint, write_checkpoint
from opanas_cli.detection.configs.data_checks import dataset_classes
from opanas_cli.detection.configs.parts import DATALOADERS, each_dataset
from opanas_cli.detection.configs.stages import search_space, stage_settings, super_net_stage
from opanas_cli.detection.data.image_subset import SPLITS
from opanas_cli.detection.processes.group import from_first
from opanas_cli.detection.processes.replicas import SuperNetReplica, original, replicate
from opanas_cli.detection.training.run_checkpoints import finished_settings
from opanas_cli.detection.training.runs import Progress, ProgressHook, build_runner, training
from opanas_cli.detection.training.watching import WatchHook, held_out_evaluator, watched_visualizer
from opanas_cli.errors import InvalidCheckpointError, InvalidGenotypeError
from opanas_cli.genotype import SearchSpace


@dataclass(frozen=True)
class TrainedSuperNet:
    """A trained super-net: its file, and the mean loss over the first and over the last steps of its training.

    The losses are over up to ten steps. `found` tells that it was trained before and nothing was left to do. `watched`
    is the mean AP of random sub-nets over the training, where `supernet.watch_interval` asks for it.
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
        """That of a file and its content."""
        meta, importance = content["meta"], content["state_dict"].get("neck.edge_importance")
        importances = [] if importance is None else importance.tolist()
        return cls(path, meta["steps"], *meta["losses"], importances, found, meta.get("watched", []))


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
    path = work_dir / "supernet.pth"
    stage = super_net_stage(config, seed)
    settings = json.dumps(finished_settings(stage, seed))
    if resume and (found := from_first(lambda: _finished(path, settings))):
        return found
    hook, text = ProgressHook(progress), config.pretty_text
    watch = WatchHook(config, seed, lambda detector: held_out_evaluator(config, detector, device))
    stage.visualizer = watched_visualizer(config)
    replicate(stage, SuperNetReplica)
    runner = build_runner(stage, work_dir / "train-supernet", seed, device, resume, hook)
    runner.register_hook(watch)
    with training(config), writing_into(work_dir):
        runner.train()
    detector = original(runner.model).detector
    content: dict[str, Any] = {
        "format": SUPER_NET_FORMAT,
        "version": 1,
        "state_dict": {name: value.cpu() for name, value in detector.state_dict().items()},
        "meta": {
            "opanas_version": __version__,
            "config": text,
            "settings": settings,
            "seed": seed,
            "steps": runner.iter,
            "losses": list(hook.mean_losses(runner.iter)),
            "watched": watch.watched,
            "search_split": float(stage_settings(config, "supernet").search_split),
            "split_by": stage_settings(config, "supernet").split_by,
            **task_of(config),
        },
    }
    if is_main_process():
        write_checkpoint(content, path)
    return TrainedSuperNet.of(content, path)


def _finished(path: Path, settings: str) -> TrainedSuperNet | None:
    """The super-net in a file, where it is what a training with these `finished_settings` ends with."""
    try:
        content = read_super_net(path)
    except InvalidCheckpointError:
        return None
    return TrainedSuperNet.of(content, path, found=True) if content["meta"].get("settings") == settings else None


def task_of(config: Config) -> dict[str, Any]:
    """What a super-net is trained for, as ``supernet.pth`` keeps it: a space, and classes in the order of their labels.

    Raises:
        InvalidConfigError, InvalidGenotypeError: the config does not say.
    """
    space = search_space(config)
    paths = [str(path) for path in space.paths]
    datasets = [dataset for name in DATALOADERS for dataset in each_dataset(config.get(name))]
    return {
        "space": {"num_nodes": space.num_nodes, "kind": str(space.kind), "paths": paths},
        "classes": list(dataset_classes(datasets[0])) if datasets else [],
    }


def require_same_task(content: dict[str, Any], config: Config, path: Path) -> None:
    """Check that a super-net was trained for the task of a config: with its classes in another order weights fit too.

    Paths without weights, which training never meets, may differ.

    Args:
        content: as `read_super_net` gives it.

    Raises:
        InvalidCheckpointError: it was not; the message tells the difference and the option that ends it.
    """
    trained, asked = _settings(content["meta"]), _settings(task_of(config))
    for key, was in trained.items():
        if _weighing(was) != _weighing(asked[key]):
            other = (
                f"was trained with {key} {_spelled(was):.200}, but {config.filename} has {_spelled(asked[key]):.200}"
            )
            option = shlex.quote(f"{key}={_spelled(was)}")
            raise InvalidCheckpointError(f"{path}: {other}; add --cfg-options {option}")


def _settings(task: dict[str, Any]) -> dict[str, Any]:
    """The settings of a config that make its task, by their keys."""
    space = SearchSpace.of(task["space"]["num_nodes"], task["space"]["kind"], task["space"]["paths"])
    return {
        "classes": task["classes"],
        "model.neck.num_nodes": space.num_nodes,
        "model.neck.space": str(space.kind),
        "model.neck.paths": space.paths,
    }


def _weighing(value: Any) -> Any:
    """Of the paths of a space those with weights, in any order; any other setting as it is."""
    return {path for path in value if path.is_parameterised} if isinstance(value, tuple) else value


def _spelled(value: Any) -> str:
    """A setting as ``--cfg-options`` takes it, where one name alone is no list."""
    if not isinstance(value, (list, tuple)):
        return str(value)
    names = ",".join(value)
    return names if len(value) > 1 else f"[{names}]"


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
    split_by = content["meta"].setdefault("split_by", "file")
    if split_by not in SPLITS:
        raise InvalidCheckpointError(f"{path}: meta.split_by must be file or folder, but got {split_by!r:.40}")
    classes = content["meta"].get("classes")
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise InvalidCheckpointError(f"{path}: meta.classes must be a list of names, but got {classes!r:.40}")
    try:
        _settings(content["meta"])
    except (KeyError, TypeError, InvalidGenotypeError) as error:
        raise InvalidCheckpointError(f"{path}: meta.space describes no space ({error})") from error
    return content
