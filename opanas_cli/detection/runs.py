"""One mmengine Runner, run quietly: the log goes to files in its folder, progress to the terminal."""

from __future__ import annotations

import contextlib
import copy
import io
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from uuid import uuid4

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from opanas_cli.detection.checkpoints import read_checkpoint, refuse_unsafe_checkpoints, require_fit
from opanas_cli.detection.config_parts import DATALOADERS
from opanas_cli.detection.devices import use_device
from opanas_cli.detection.operators import quietly
from opanas_cli.errors import InvalidCheckpointError, InvalidConfigError, InvalidInputError, OpanasError


@dataclass(frozen=True)
class TrainingStep:
    """Where a training run stands; `loss` is that of this step."""

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float


Progress = Callable[[TrainingStep], None]


class ProgressHook(Hook):
    """Tells a callback of every training step, and keeps the loss at the start and at the end."""

    def __init__(self, progress: Progress | None) -> None:
        self.progress = progress
        self.losses: list[float] = []

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        loss = float(outputs["loss"])
        if not math.isfinite(loss):
            raise OpanasError(
                f"the loss is {loss} at step {runner.iter + 1}; lower the learning rate or clip gradients"
            )
        self.losses.append(loss)
        if self.progress is not None:
            self.progress(TrainingStep(runner.epoch + 1, runner.max_epochs, runner.iter + 1, runner.max_iters, loss))


class PlainCheckpointHook(Hook):
    """Keeps log buffers and NumPy numbers out of mmengine's checkpoints, so that resuming never has to unpickle."""

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        facts = checkpoint["message_hub"]["runtime_info"]
        plain = {key: value for key, value in facts.items() if type(value).__module__ == "builtins"}
        checkpoint["message_hub"] = {"log_scalars": {}, "runtime_info": plain, "resumed_keys": {}}


@contextmanager
def silenced() -> Iterator[None]:
    """Keep what mmengine and pycocotools print and warn from the terminal; errors still surface."""
    with contextlib.redirect_stdout(io.StringIO()), quietly():
        yield


@contextmanager
def training(config: Config) -> Iterator[None]:
    """While the block trains, nothing is printed, and weights that cannot be downloaded are told as such.

    Raises:
        OpanasError: instead of an error of the network.
    """
    try:
        with silenced():
            yield
    except URLError as error:
        backbone = (config.model.get("detector") or config.model).get("backbone") or {}
        weights = (backbone.get("init_cfg") or {}).get("checkpoint", "the pre-trained weights")
        raise OpanasError(
            f"{weights}: cannot be downloaded ({error.reason}); put the file into the cache of torch.hub, or train the "
            "backbone from scratch with --cfg-options model.backbone.init_cfg=None model.backbone.frozen_stages=-1 "
            "model.backbone.norm_eval=False"
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
    config: Config, work_dir: Path, seed: int, device: torch.device, resume: bool, hook: ProgressHook
) -> Runner:
    """A Runner of `config` that logs and saves into `work_dir`.

    Raises:
        InvalidConfigError, InvalidDataError: what the config names cannot be built.
        InvalidCheckpointError: the checkpoint to resume from is broken or of another network.
    """
    refuse_unsafe_checkpoints()
    use_device(device)
    config = copy.deepcopy(config)
    config.work_dir = str(work_dir)
    config.randomness = dict(seed=seed, deterministic=False)
    latest = _latest_checkpoint(work_dir) if resume else None
    resumed = None if latest is None else _read_resumable(latest)
    config.resume = latest is not None
    if latest is not None:
        config.load_from = str(latest)
    config.default_scope = "mmdet"
    # Two runs of one process may start in the same second, and mmengine keys its loggers by this name.
    config.experiment_name = f"{work_dir.name}-{uuid4().hex[:12]}"
    for loader in (config.get(name) or {} for name in DATALOADERS):
        if loader.get("num_workers") == 0:
            loader.pop("persistent_workers", None)
    with silenced(), building(config):
        runner = Runner.from_cfg(config)
        # Reads the data set now, and not in the middle of what mmengine does next.
        runner.train_loop  # noqa: B018
    if latest is not None and resumed is not None:
        # mmengine would load what fits and begin the rest anew.
        require_fit(runner.model, resumed["state_dict"], latest)
    runner.register_hook(hook, priority="LOW")
    runner.register_hook(PlainCheckpointHook())
    return runner


def _read_resumable(path: Path) -> dict[str, Any]:
    content = read_checkpoint(path)
    missing = [key for key in ("meta", "state_dict", "optimizer", "message_hub") if key not in content]
    if missing:
        raise InvalidCheckpointError(f"{path}: has no '{missing[0]}' to resume from; start again without --resume")
    return content


def _latest_checkpoint(work_dir: Path) -> Path | None:
    """The checkpoint to resume from: of the path that mmengine wrote down, the name counts; the folder may have moved.

    Raises:
        InvalidCheckpointError: it is gone.
    """
    record = work_dir / "last_checkpoint"
    if not record.is_file():
        return None
    latest = work_dir / Path(record.read_text(errors="replace").strip()).name
    if not latest.is_file():
        raise InvalidCheckpointError(f"{record}: names {latest.name}, which is gone; start again without --resume")
    return latest
