"""mmengine's Runner, which saves and resumes our way, and is quiet: its log goes to files in its folder."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.error import URLError
from uuid import uuid4

import torch
from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.runner import BaseLoop, Runner

from opanas_cli.atomic import writing_into
from opanas_cli.detection.checkpoints import refuse_unsafe_checkpoints, require_fit
from opanas_cli.detection.configs.building import building, faults_of, loading, reason_of
from opanas_cli.detection.configs.parts import DATALOADERS
from opanas_cli.detection.processes.devices import use_device
from opanas_cli.detection.processes.group import from_first
from opanas_cli.detection.processes.replicas import original
from opanas_cli.detection.quiet import silenced
from opanas_cli.detection.training.mixed_precision import fit_precision
from opanas_cli.detection.training.progress import ProgressHook
from opanas_cli.detection.training.resumable_loop import ResumableTrainLoop
from opanas_cli.detection.training.run_checkpoints import RunCheckpoints
from opanas_cli.detection.training.run_settings import run_settings
from opanas_cli.detection.training.run_state import restore
from opanas_cli.errors import InvalidCheckpointError, InvalidConfigError, OpanasError
from opanas_cli.stage_settings import CheckpointsSection


class NewFiles:
    """The files that appear in a folder from now on, and the folder itself if it does not exist."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.existed, self.old = folder, folder.exists(), set(folder.glob("*"))

    def remove(self) -> None:
        """Delete them: the log of a run that has not begun says nothing."""
        if not is_main_process():
            return
        for path in set(self.folder.glob("*")) - self.old:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        if not self.existed:
            with suppress(OSError):
                self.folder.rmdir()


class ResumableRunner(Runner):
    """mmengine's Runner, which goes on from the content of one of our checkpoints, or begins anew without one."""

    checkpoints: RunCheckpoints
    new_files: NewFiles
    resumed_from: Path | None
    resumed: dict[str, Any] | None
    """What the newest checkpoint held; empty once it was taken, since it is as large as network and optimizer."""

    @classmethod
    def of(
        cls, config: Config, checkpoints: RunCheckpoints, found: tuple[Path, dict[str, Any]] | None
    ) -> ResumableRunner:
        """The runner of a config and of the checkpoint that `newest` found, its data sets read."""
        runner: ResumableRunner = cls.from_cfg(config)
        runner.checkpoints = checkpoints
        runner.resumed_from, runner.resumed = found or (None, None)
        if found:
            require_fit(original(runner.model), found[1]["state_dict"], found[0])
        # Reads the data sets now, and not in the middle of what mmengine does next, or when all is trained.
        runner.train_loop, runner.test_loop  # noqa: B018
        return runner

    def build_train_loop(self, loop: Any) -> Any:
        """What mmengine calls for `train_cfg`, and for the loop that was made of it."""
        if isinstance(loop, BaseLoop):
            return loop
        options = {key: value for key, value in loop.items() if key not in ("type", "by_epoch")}
        return ResumableTrainLoop(self, self._train_dataloader, self.checkpoints, self.resumed, **options)

    def train(self) -> Any:
        """Train as mmengine does. What fails before the first step is done leaves no files, and is the config's fault.

        Raises:
            InvalidInputError: instead of whatever else is raised then.
        """
        try:
            return super().train()
        except Exception:
            if self.train_loop.begun:
                raise
            self.new_files.remove()
            with faults_of(self.cfg.filename, "cannot be trained", runtime_errors=False):
                raise

    def _init_model_weights(self) -> None:
        if self.resumed is None:
            super()._init_model_weights()

    def load_or_resume(self) -> None:
        """What mmengine calls when network, optimizer and schedules are built."""
        if self.resumed is None:
            super().load_or_resume()
        elif not self._has_loaded:
            self._has_loaded = self._resume = True  # As mmengine's own resuming does; its hooks look at the second.
            with _going_on_from(self.resumed_from):
                restore(self, self.resumed)
            self.resumed.clear()


@contextmanager
def _going_on_from(path: Path | None) -> Iterator[None]:
    try:
        yield
    except (AttributeError, LookupError, TypeError, ValueError, RuntimeError, StopIteration) as error:
        raise InvalidCheckpointError(
            f"{path}: holds no state that this run can go on from: {reason_of(error)} ({type(error).__name__}); start "
            "again in another --work-dir"
        ) from error


@contextmanager
def training(config: Config) -> Iterator[None]:
    """While the block trains, nothing is printed, and weights that cannot be downloaded are reported as such.

    Raises:
        OpanasError: instead of an error of the network.
        InvalidDataError: the pipeline gives no image.
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
    work_dir: Path,
    seed: int,
    device: torch.device,
    resume: bool,
    hook: ProgressHook,
    **more_settings: Any,
) -> ResumableRunner:
    """A Runner of `config` that logs and saves into `work_dir`.

    Args:
        resume: go on from the newest checkpoint there, if there is one.
        more_settings: what else two runs must share to be the same run, as JSON-able values.

    Raises:
        InvalidConfigError, InvalidDataError: what the config names cannot be built.
        UsageError: there is a run already and `resume` is not set, or it is another run.
        InvalidCheckpointError: the checkpoints to resume from are broken or of another network.
    """
    refuse_unsafe_checkpoints()
    use_device(device)
    runnable = _runnable(config, work_dir, seed, device)
    limits = CheckpointsSection(**(runnable.pop("checkpoints", None) or {}))
    checkpoints = RunCheckpoints(work_dir, run_settings(config, seed, **more_settings), limits)
    found = checkpoints.newest_for_all() if resume else from_first(checkpoints.require_none)
    new_files = NewFiles(work_dir)
    try:
        with silenced(), building(config), writing_into(work_dir):
            runner = ResumableRunner.of(runnable, checkpoints, found)
    except Exception:
        new_files.remove()
        raise
    runner.new_files = new_files
    runner.register_hook(hook, priority="LOW")
    return runner


def _runnable(config: Config, work_dir: Path, seed: int, device: torch.device) -> Config:
    """The config as mmengine's Runner takes it, with our way to save instead of its own."""
    config = copy.deepcopy(config)
    if config.train_cfg.get("type", "EpochBasedTrainLoop") != "EpochBasedTrainLoop" or not config.train_cfg.get(
        "by_epoch", True
    ):
        raise InvalidConfigError(f"{config.filename}: train_cfg: must be an EpochBasedTrainLoop, which can be resumed")
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
