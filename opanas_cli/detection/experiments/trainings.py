"""Trains networks one by one, in any number of processes side by side."""

from __future__ import annotations

import hashlib
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import torch
from filelock import FileLock, Timeout
from mmengine.config import Config

from opanas_cli.detection.experiments.training_log import Row, TrainingLog
from opanas_cli.detection.training.progress import OnStep, TrainingStep
from opanas_cli.detection.training.retraining import train_detector
from opanas_cli.detection.training.run_identity import result_identity
from opanas_cli.errors import InvalidConfigError, UsageError

Task = TypeVar("Task")

Report = Callable[[int, int, str], None]
"""Given the steps done, all steps, and what is being trained."""


@dataclass(frozen=True)
class Training:
    """One network to be trained by one seed.

    Args:
        network: its name among those of the experiment.
        config: that of the whole training, as `sub_net_config` makes it.
        facts: what its row says beside the results, as JSON-able values.
    """

    network: str
    seed: int
    config: Config
    facts: dict[str, Any]

    @property
    def name(self) -> str:
        """Of its folder."""
        plain = re.fullmatch(r"[\w.-]{1,60}", self.network)
        return f"{self.network if plain else _digest(self.network)}-{self.seed}"

    @property
    def identity(self) -> Row:
        """What its row begins with."""
        return {"network": self.network, "seed": self.seed, "settings": self.settings}

    @cached_property
    def settings(self) -> str:
        """The digest of what decides the result: the config, the seed, and the annotations."""
        return _digest(result_identity(self.config, self.seed))


@dataclass(frozen=True)
class ExperimentFiles:
    """What an experiment writes into its work dir: a row for each training, what they show, and a chart of it."""

    rows: Path
    summary: Path
    chart: Path

    @classmethod
    def of(cls, work_dir: Path, name: str) -> ExperimentFiles:
        """Those of an experiment by its name."""
        return cls(*(work_dir / f"{name}{suffix}" for suffix in (".jsonl", ".json", ".svg")))


def run_trainings(
    trainings: Sequence[Training],
    log: TrainingLog,
    work_dir: Path,
    device: torch.device,
    keep_detectors: bool,
    report: Report = lambda done, total, text: None,
) -> list[Row]:
    """Train what has no row yet, and return the rows of all trainings, in their order.

    Another process that runs the same trainings in the same work dir takes others. A training that was killed goes on
    from its last checkpoint, in whichever process takes it up.

    Args:
        keep_detectors: leave each ``detector.pth`` in its folder; checkpoints are deleted in any case.
        report: called after each step.

    Raises:
        UsageError: the log has a training by other settings.
        OpanasError: a training fails.
    """
    while missing := [training for training in trainings if _row_of(training, log) is None]:
        with claimed(missing, lambda training: training.name, work_dir / ".claims") as training:
            if _row_of(training, log) is None:
                # Loops without epochs are refused when the training begins.
                place, epochs = trainings.index(training), training.config.train_cfg.get("max_epochs", 1)
                on_step = on_step_of(report, training, place * epochs, len(trainings) * epochs)
                folder = work_dir / training.name
                log.add(_trained(training, folder, device, on_step))
                shutil.rmtree(folder / "retrain" if keep_detectors else folder, ignore_errors=True)
    return [row for training in trainings if (row := _row_of(training, log))]


def _row_of(training: Training, log: TrainingLog) -> Row | None:
    """The row of a training, if it is finished.

    Raises:
        UsageError: there is one, but of a training by other settings.
    """
    key = training.network, training.seed
    found = next((row for row in log.rows() if (row["network"], row["seed"]) == key), None)
    if found is not None and found["settings"] != training.settings:
        raise UsageError(
            f"{log.path}: {training.network} with seed {training.seed} was trained by another config, genotype or data "
            "set; use those or another --work-dir"
        )
    return found


@contextmanager
def claimed(tasks: Sequence[Task], name_of: Callable[[Task], str], folder: Path) -> Iterator[Task]:
    """The first task that no other process works on; if there is none, the first, once it is free again.

    Args:
        name_of: the name of the task's lock in the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    locks = [FileLock(folder / f"{name_of(task)}.lock") for task in tasks]
    place = next((place for place, lock in enumerate(locks) if _is_free(lock)), 0)
    locks[place].acquire()  # Twice, if it was free.
    try:
        yield tasks[place]
    finally:
        locks[place].release(force=True)


def _is_free(lock: FileLock) -> bool:
    """Take a lock if it is free, and return whether it was."""
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    return True


def on_step_of(report: Report, training: Training, before: int, total: int) -> OnStep:
    """Reports the steps of one of several trainings, which have `total` epochs, `before` of them before its first."""

    def on_step(step: TrainingStep) -> None:
        text = f"{training.network}, seed {training.seed}, epoch {step.epoch}/{step.epochs}, loss {step.loss:.3f}"
        steps = step.steps // step.epochs
        report(before * steps + step.step, total * steps, text)

    return on_step


def figure_of(config: Config, row: Row, metric: str) -> float:
    """The metric of a row; raises InvalidConfigError if it is not defined on the images that were tested on."""
    if metric not in row["metrics"]:
        raise InvalidConfigError(
            f"{config.filename}: search.metric: {metric} is not defined on the images tested on, only "
            f"{', '.join(row['metrics']) or 'nothing'}; choose another"
        )
    return float(row["metrics"][metric])


def _trained(training: Training, folder: Path, device: torch.device, on_step: OnStep) -> Row:
    began_before, started = folder.exists(), time.perf_counter()
    trained = train_detector(training.config, folder, training.seed, device, resume=True, on_step=on_step)
    return {
        **training.identity,
        **training.facts,
        "metrics": trained.metrics,
        **trained.cost.document(),
        "spent": trained.spent and trained.spent.document(),
        # Not known of a training that another process began.
        "seconds": None if began_before else round(time.perf_counter() - started, 1),
    }


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
