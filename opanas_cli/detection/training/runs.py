"""One mmengine Runner, run quietly: the log goes to files in its folder, progress to the terminal."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from socket import gethostname
from typing import Any
from urllib.error import URLError
from uuid import uuid4

import torch
from mmengine.config import Config
from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner

from opanas_cli.atomic import writing_into
from opanas_cli.detection.checkpoints import read_checkpoint, refuse_unsafe_checkpoints, require_fit
from opanas_cli.detection.configs.parts import DATALOADERS
from opanas_cli.detection.processes.devices import use_device
from opanas_cli.detection.processes.group import from_first, in_each
from opanas_cli.detection.processes.replicas import original
from opanas_cli.detection.quiet import silenced
from opanas_cli.detection.training.finite_loss import FiniteLoss
from opanas_cli.detection.training.mixed_precision import fit_precision
from opanas_cli.detection.training.run_checkpoints import RunCheckpoints, run_settings
from opanas_cli.detection.training.run_state import restore
from opanas_cli.errors import (
    InvalidCheckpointError,
    InvalidConfigError,
    InvalidDataError,
    InvalidInputError,
    OpanasError,
)


@dataclass(frozen=True)
class TrainingStep:
    """Where a training run stands; `loss` is that of this step."""

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float


Progress = Callable[[TrainingStep], None]

LOSS_WINDOW = 10


class ProgressHook(Hook):
    """Tells a callback of every training step, and keeps the losses at the start and at the end of the training.

    They are kept in the checkpoints too, so that those of a resumed run are those of the whole of it.

    Args:
        finite_loss: checks the loss of every step; None if the network does so itself, before it updates.
    """

    def __init__(self, progress: Progress | None, finite_loss: FiniteLoss | None = None) -> None:
        self.progress = progress
        self.finite_loss = finite_loss
        self.first: list[float] = []
        self.last: list[float] = []

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        loss = float(outputs["loss"])
        if self.finite_loss is not None:
            self.finite_loss.require(loss, runner.iter + 1, runner.optim_wrapper)
        if not math.isfinite(loss):
            return
        self.first = [*self.first, loss][:LOSS_WINDOW]
        self.last = [*self.last, loss][-LOSS_WINDOW:]
        if self.progress is not None:
            self.progress(TrainingStep(runner.epoch + 1, runner.max_epochs, runner.iter + 1, runner.max_iters, loss))

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        checkpoint["losses"] = {"first": self.first, "last": self.last}

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        self.first, self.last = checkpoint["losses"]["first"], checkpoint["losses"]["last"]

    def mean_losses(self, steps: int) -> tuple[float, float]:
        """The means over the first and over the last steps of so many: over ten, or fewer where they would overlap."""
        window = min(LOSS_WINDOW, (steps + 1) // 2)
        return _mean(self.first[:window]), _mean(self.last[-window:])


def _mean(losses: list[float]) -> float:
    return sum(losses) / len(losses) if losses else math.nan  # Of steps that a loss scale left out there is none.


class ResumableRunner(Runner):
    """mmengine's Runner, which goes on from the content of one of our checkpoints, or begins anew without one."""

    resumed: dict[str, Any] | None = None

    def _init_model_weights(self) -> None:
        if self.resumed is None:
            super()._init_model_weights()

    def load_or_resume(self) -> None:
        """What mmengine calls when network, optimizer and schedules are built."""
        if self.resumed is None:
            super().load_or_resume()
        elif not self._has_loaded:
            self._has_loaded = self._resume = True  # As mmengine's own resuming does; its hooks look at the second.
            restore(self, self.resumed)
            self.resumed = {}  # It was as large as the network and its optimizer.


@contextmanager
def training(config: Config) -> Iterator[None]:
    """While the block trains, nothing is printed, and weights that cannot be downloaded are told as such.

    Raises:
        OpanasError: instead of an error of the network.
        InvalidDataError: the pipeline gives no image.
    """
    try:
        with silenced(), loading(str(config.filename)):
            yield
    except URLError as error:
        backbone = (config.model.get("detector") or config.model).get("backbone") or {}
        weights = (backbone.get("init_cfg") or {}).get("checkpoint", "the pre-trained weights")
        raise OpanasError(
            f"{weights}: cannot be downloaded ({error.reason}); put the file into the cache of torch.hub, or train the "
            "backbone from scratch with --cfg-options model.backbone.init_cfg=None model.backbone.frozen_stages=-1 "
            "model.backbone.norm_eval=False"
        ) from error


NO_IMAGE = re.compile("Cannot find valid image|always return None|should not get `None`")
"""What mmengine and mmdet say, in plain exceptions, if a pipeline gives None again and again."""


@contextmanager
def loading(source: str) -> Iterator[None]:
    """While the block loads images, a pipeline that leaves out whatever it is given is told as such.

    Args:
        source: where its settings come from.

    Raises:
        InvalidDataError: it does.
    """
    try:
        yield
    except Exception as error:
        if not NO_IMAGE.search(str(error)):
            raise
        raise InvalidDataError(
            f"{source}: the pipeline leaves out every image that it is given; correct its transforms, as the sizes of "
            "FilterAnnotations and RandomCrop, or the boxes of the images"
        ) from error


@contextmanager
def building(config: Config) -> Iterator[None]:
    """While the block builds what a config describes, what goes wrong is the config's fault.

    Raises:
        InvalidConfigError: instead of whatever mmengine and mmdet raise.
    """
    try:
        yield
    except InvalidInputError as error:
        raise type(error)(f"{config.filename}: {error}") from error
    except OpanasError:
        raise
    except Exception as error:
        # A KeyError quotes its message, and mmengine's registries raise those.
        reason = " ".join(str(error.args[0] if isinstance(error, KeyError) else error).split())
        raise InvalidConfigError(
            f"{config.filename}: cannot be built: {reason} ({type(error).__name__}; --debug shows where)"
        ) from error


def build_runner(
    config: Config,
    work_dir: Path,
    seed: int,
    device: torch.device,
    resume: bool,
    hook: ProgressHook,
    **more_settings: Any,
) -> ResumableRunner:
    """A Runner of `config` that logs and saves into `work_dir`.

    Args:
        resume: go on from the newest checkpoint there, where there is one.
        more_settings: what else two runs must share to be the same run, as JSON-able values.

    Raises:
        InvalidConfigError, InvalidDataError: what the config names cannot be built.
        UsageError: there is a run already and `resume` is not set, or it is another run.
        InvalidCheckpointError: the checkpoints to resume from are broken or of another network.
    """
    refuse_unsafe_checkpoints()
    use_device(device)
    checkpoints = RunCheckpoints(work_dir, run_settings(config, seed, **more_settings))
    found = _newest(checkpoints) if resume else from_first(checkpoints.require_none)
    runner = _build(_runnable(config, work_dir, seed, device))
    runner.train_loop.save = checkpoints.save
    runner.register_hook(hook, priority="LOW")
    if found is not None:
        path, runner.resumed = found
        require_fit(original(runner.model), runner.resumed["state_dict"], path)
    return runner


def _newest(checkpoints: RunCheckpoints) -> tuple[Path, dict[str, Any]] | None:
    """The newest checkpoint that the first process can read, and its content, which each process reads itself."""
    read: dict[Path, dict[str, Any]] = {}

    def path_of_newest() -> Path | None:
        read.update([found] if (found := checkpoints.newest(get_world_size())) else [])
        return next(iter(read), None)

    path = from_first(path_of_newest)
    return None if path is None else (path, in_each(lambda: read.get(path) or _read_here(path)))


def _read_here(path: Path) -> dict[str, Any]:
    try:
        return read_checkpoint(path)
    except InvalidCheckpointError as error:
        raise InvalidCheckpointError(f"on {gethostname()}, where the work dir must be the same: {error}") from error


def _runnable(config: Config, work_dir: Path, seed: int, device: torch.device) -> Config:
    """The config as mmengine's Runner takes it, with our way to save instead of its own."""
    config = copy.deepcopy(config)
    if config.train_cfg.get("type", "EpochBasedTrainLoop") != "EpochBasedTrainLoop" or not config.train_cfg.get(
        "by_epoch", True
    ):
        raise InvalidConfigError(f"{config.filename}: train_cfg: must be an EpochBasedTrainLoop, which can be resumed")
    config.train_cfg = dict(config.train_cfg, type="ResumableTrainLoop", **(config.pop("checkpoints", None) or {}))
    config.train_cfg.pop("by_epoch", None)
    config.default_hooks = dict(config.get("default_hooks") or {}, checkpoint=None)
    fit_precision(config, device)
    config.work_dir = str(work_dir)
    config.randomness = dict(seed=seed, deterministic=False)
    config.resume = False
    config.default_scope = "mmdet"
    # Two runs of one process may start in the same second, and mmengine keys its loggers by this name; visualizers too
    # where they have none of their own, and one of another run would write into that run's folder.
    config.experiment_name = f"{work_dir.name}-{uuid4().hex[:12]}"
    if config.get("visualizer"):
        config.visualizer.pop("name", None)
    for loader in (config.get(name) or {} for name in DATALOADERS):
        if loader.get("num_workers") == 0:
            loader.pop("persistent_workers", None)
    return config


def _build(config: Config) -> ResumableRunner:
    with silenced(), building(config), writing_into(Path(config.work_dir)):
        runner = ResumableRunner.from_cfg(config)
        # Reads the data set now, and not in the middle of what mmengine does next.
        runner.train_loop  # noqa: B018
    return runner
