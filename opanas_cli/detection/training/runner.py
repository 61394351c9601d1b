"""mmengine's Runner, made to save and resume as opanas does, and to be quiet: its log goes to files in its folder."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from uuid import uuid4

import torch
from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.runner import BaseLoop, Runner

from opanas_cli.atomic import require_writable, writing_into
from opanas_cli.detection.checkpoints import load_weights, read_checkpoint, refuse_unsafe_checkpoints, require_fit
from opanas_cli.detection.configs.building import building, config_errors, loading, reason_of
from opanas_cli.detection.configs.parts import DATALOADERS
from opanas_cli.detection.configs.sections import RUNNER_KEYS
from opanas_cli.detection.processes.devices import use_device
from opanas_cli.detection.processes.group import from_first
from opanas_cli.detection.processes.replicas import original
from opanas_cli.detection.quiet import silenced
from opanas_cli.detection.training.mixed_precision import fit_precision
from opanas_cli.detection.training.progress import ProgressHook
from opanas_cli.detection.training.resumable_loop import ResumableTrainLoop
from opanas_cli.detection.training.run_checkpoints import RunCheckpoints, restore, settle
from opanas_cli.detection.training.run_identity import run_identity
from opanas_cli.detection.training.spent_hook import SpentHook
from opanas_cli.errors import InvalidCheckpointError, InvalidConfigError, OpanasError
from opanas_cli.stage_settings import CheckpointsSection

OF_TRAINING = ("train", "val", "optim", "param")
"""How the keys of a config begin that a test does not need."""


class ResumableRunner(Runner):
    """mmengine's Runner, which saves to our checkpoints and continues from one. It reads its data sets at once.

    If it fails before its first step is done, it leaves no files: the log of a run that has not begun is of no use.
    Raises InvalidConfigError or InvalidDataError if what the config names cannot be built, InvalidCheckpointError if
    the checkpoint is of another network.

    Args:
        config: as `build_runner` makes it.
        found: the checkpoint to continue from, and its content; None begins with the first step.
        weights: to begin with instead of an initialisation, all of them by name.

    Attributes:
        spent: the hook that measures what the run costs.
    """

    spent: SpentHook

    def __init__(
        self,
        config: Config,
        checkpoints: RunCheckpoints,
        found: tuple[Path, dict[str, Any]] | None,
        weights: dict[str, torch.Tensor] | None = None,
    ) -> None:
        self.checkpoints = checkpoints
        # The content is dropped once it is restored, since it is as large as network and optimizer.
        self.resumed_from, self.resumed = found or (None, None)
        self.weights = weights
        self.folder = Path(config.work_dir)
        self.files_before = self._files() if self.folder.exists() else set()
        try:
            with silenced(), building(config), writing_into(self.folder):
                super().__init__(**{key: config[key] for key in RUNNER_KEYS if key in config}, cfg=config)
                if found:
                    require_fit(original(self.model), found[1]["state_dict"], found[0])
                # Reads the data sets now, and not in the middle of what mmengine does next, or when all is trained.
                self.train_loop, self.test_loop  # noqa: B018
        except Exception:
            self._remove_new_files()
            raise

    def build_train_loop(self, loop: Any) -> Any:
        """What mmengine calls for `train_cfg`, and for the loop that was made of it."""
        if isinstance(loop, BaseLoop):
            return loop
        options = {key: value for key, value in loop.items() if key not in ("type", "by_epoch")}
        return ResumableTrainLoop(self, self._train_dataloader, self.checkpoints, self.resumed, **options)

    def train(self) -> Any:
        """Train as mmengine does, and leave the network with the weights that hooks save, such as averages.

        Whatever fails before the first step is done raises InvalidInputError.
        """
        with training(self.cfg), writing_into(self.folder):
            try:
                model = super().train()
                settle(self)
                return model
            except Exception:
                if self.train_loop.begun:
                    raise
                self._remove_new_files()
                with config_errors(self.cfg.filename, "cannot be trained", runtime_errors=False):
                    raise

    def test(self) -> Any:
        """Test as mmengine does; errors of the config raise InvalidConfigError."""
        with _testing(self.cfg, self.folder):
            return super().test()

    def _init_model_weights(self) -> None:
        if self.resumed is not None:
            return
        if self.weights is None:
            super()._init_model_weights()
        else:
            original(self.model).load_state_dict(self.weights)

    def load_or_resume(self) -> None:
        """What mmengine calls when network, optimizer and schedules are built."""
        if self.resumed is None:
            super().load_or_resume()
        elif not self._has_loaded:
            self._has_loaded = self._resume = True  # As mmengine's own resuming does; its hooks read the second.
            try:
                restore(self, self.resumed)
            except (AttributeError, LookupError, TypeError, ValueError, RuntimeError, StopIteration) as error:
                raise InvalidCheckpointError(
                    f"{self.resumed_from}: cannot be resumed: {reason_of(error)} ({type(error).__name__}); start again "
                    "in another --work-dir"
                ) from error
            self.resumed.clear()

    def _files(self) -> set[Path]:
        return {self.folder, *self.folder.glob("*")}

    def _remove_new_files(self) -> None:
        if not is_main_process():
            return
        for path in self._files() - self.files_before:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


@contextmanager
def _testing(config: Config, folder: Path) -> Iterator[None]:
    errors = config_errors(config.filename, "cannot be tested", runtime_errors=False)
    with training(config), writing_into(folder), errors:
        yield


@contextmanager
def training(config: Config) -> Iterator[None]:
    """While the block trains, nothing is printed, and weights that cannot be downloaded raise OpanasError.

    A pipeline that gives no image raises InvalidDataError.
    """
    try:
        with silenced(), loading(config.filename):
            yield
    except URLError as error:
        backbone = (config.model.get("detector") or config.model).get("backbone") or {}
        weights = (backbone.get("init_cfg") or {}).get("checkpoint", "the pre-trained weights")
        raise OpanasError(
            f"{weights}: cannot be downloaded ({error.reason}); put the file into the cache of torch.hub, or train the "
            "backbone from scratch with --cfg-options model.backbone.init_cfg=None model.backbone.frozen_stages=-1 "
            "model.backbone.norm_eval=False"
        ) from error


def build_runner(
    config: Config,
    folder: Path,
    seed: int,
    device: torch.device,
    resume: bool,
    hook: ProgressHook,
    weights: dict[str, torch.Tensor] | None = None,
    **more_identity: Any,
) -> ResumableRunner:
    """A Runner of `config` that logs and saves into a folder, and continues from its newest checkpoint with `resume`.

    `more_identity` is what else two runs must share to be the same run, as JSON-able values. Raises what
    `ResumableRunner` raises, and UsageError if there is a run already and `resume` is not set, or it is another run.
    """
    from_first(lambda: require_writable(folder))
    refuse_unsafe_checkpoints()
    use_device(device)
    runnable = _runnable(config, folder, seed, device)
    if weights is not None:
        runnable.load_from = None  # mmengine would load it over them.
    limits = CheckpointsSection(**(runnable.pop("checkpoints", None) or {}))
    checkpoints = RunCheckpoints(folder, run_identity(config, seed, **more_identity), limits)
    found = checkpoints.newest_for_all() if resume else from_first(checkpoints.require_none)
    runner = ResumableRunner(runnable, checkpoints, found, weights)
    runner.register_hook(hook, priority="LOW")
    runner.spent = SpentHook(device)
    runner.register_hook(runner.spent)
    return runner


def measure_weights(config: Config, folder: Path, seed: int, device: torch.device, weights: Path) -> dict[str, float]:
    """What mmengine measures of the detector of a config with the weights of a checkpoint; nothing is trained.

    Raises InvalidCheckpointError if the checkpoint is of another network, and what `build_runner` raises.
    """
    state = read_checkpoint(weights).get("state_dict")
    from_first(lambda: require_writable(folder))
    use_device(device)
    runnable = _runnable(config, folder, seed, device)
    runnable.load_from = None
    kept = {key: runnable[key] for key in RUNNER_KEYS if key in runnable and key.split("_")[0] not in OF_TRAINING}
    with silenced(), building(config), writing_into(folder):
        runner = Runner(**kept, cfg=runnable)
    load_weights(original(runner.model), state, weights)
    with _testing(config, folder):
        return runner.test()


def _runnable(config: Config, folder: Path, seed: int, device: torch.device) -> Config:
    """The config as mmengine's Runner takes it, which saves as opanas does."""
    runnable = copy.deepcopy(config)
    train_cfg = runnable.train_cfg
    if train_cfg.get("type", "EpochBasedTrainLoop") != "EpochBasedTrainLoop" or not train_cfg.get("by_epoch", True):
        raise InvalidConfigError(
            f"{config.filename}: train_cfg: must be an EpochBasedTrainLoop; other loops cannot be resumed"
        )
    runnable.default_hooks = dict(runnable.get("default_hooks") or {}, checkpoint=None)
    fit_precision(runnable, device)
    runnable.work_dir = str(folder)
    runnable.randomness = dict(seed=seed, deterministic=False)
    runnable.resume = False
    runnable.default_scope = "mmdet"
    # Two runs of one process may start in the same second, and mmengine keys its loggers by this name; visualizers too
    # if they have none of their own, and one of another run would write into that run's folder.
    runnable.experiment_name = f"{folder.name}-{uuid4().hex[:12]}"
    if runnable.get("visualizer"):
        runnable.visualizer.pop("name", None)
    for loader in (runnable.get(name) or {} for name in DATALOADERS):
        if loader.get("num_workers") == 0:
            loader.pop("persistent_workers", None)
    return runnable
