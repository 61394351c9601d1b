"""What two training runs must share: to be the same run, and to have ended with the same file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from mmengine.config import Config

from opanas_cli.detection.checkpoints import fingerprint
from opanas_cli.detection.configs.parts import each_dataset, without
from opanas_cli.detection.data.annotation_files import annotation_files, images_without_list
from opanas_cli.errors import InvalidCheckpointError

DECISIVE = (
    "model",
    "train_dataloader",
    "train_cfg",
    "optim_wrapper",
    "param_scheduler",
    "auto_scale_lr",
    "custom_hooks",
)
"""The parts of a config that decide what training does."""

TESTED = ("test_dataloader", "test_evaluator")
"""Those that decide what a trained detector is tested on."""

_LOADER = {"data_root", "num_workers", "persistent_workers", "pin_memory", "prefetch_factor"}

HARMLESS = {
    "train_dataloader": _LOADER,
    "test_dataloader": _LOADER,
    "test_evaluator": {"data_root"},
    "train_cfg": {"max_epochs", "val_begin", "val_interval"},
}
"""Keys inside parts that do not: a run may continue with other ones, and for more epochs."""


def run_identity(config: Config, seed: int, **more: Any) -> dict[str, Any]:
    """What two runs of an mmengine config must share to be the same run, as JSON-able values.

    The device, the number of workers, the place of the data and the number of epochs may differ; the annotations of the
    training images and the weights that training begins with may not.
    """
    annotations = _annotations(config, "train_dataloader")
    identity = {"seed": seed, "annotations": annotations, **more, **_parts(config, DECISIVE)}
    if start := config.get("load_from"):
        identity["load_from"] = fingerprint(Path(start)) if Path(start).is_file() else start
    return json.loads(json.dumps(identity, default=repr))


def result_identity(config: Config, seed: int, **more: Any) -> str:
    """What two finished runs must share to have ended with the same file, as JSON.

    Beside what makes them the same run these are the number of epochs, and what was tested on.
    """
    epochs, tested = (config.get("train_cfg") or {}).get("max_epochs"), _annotations(config, "test_dataloader")
    return json.dumps(run_identity(config, seed, epochs=epochs, tested=tested, **more, **_parts(config, TESTED)))


def finished(read: Callable[[], dict[str, Any]], identity: str) -> dict[str, Any] | None:
    """The content of a run's file as `read` gives it, if that can be read and a run of this identity ended with it."""
    try:
        content = read()
    except InvalidCheckpointError:
        return None
    meta = content.get("meta")
    return content if isinstance(meta, dict) and meta.get("settings") == identity else None


def _annotations(config: Config, loader: str) -> str:
    """The fingerprint of the annotations of a part of the images, as far as there are such files."""
    datasets = [dataset for dataset in each_dataset(config.get(loader)) if dataset.get("ann_file")]
    files = [path for dataset in datasets for path in annotation_files(dataset) if path.is_file()]
    return fingerprint(*files, names=[name for dataset in datasets for name in images_without_list(dataset)])


def _parts(config: Config, names: Iterable[str]) -> dict[str, Any]:
    return {name: without(config[name], HARMLESS.get(name, set())) for name in names if config.get(name)}
