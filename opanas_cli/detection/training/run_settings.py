"""What two training runs must share: to be the same run, and to have ended with the same file."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from mmengine.config import Config

DECISIVE = ("model", "train_dataloader", "train_cfg", "optim_wrapper", "param_scheduler", "auto_scale_lr")
"""The parts of a config that decide what training does."""

TESTED = ("test_dataloader", "test_evaluator")
"""Those that decide what a trained detector is tested on."""

_LOADER = {"data_root", "num_workers", "persistent_workers", "pin_memory", "prefetch_factor"}

HARMLESS = {
    "train_dataloader": _LOADER,
    "test_dataloader": {*_LOADER, "batch_size"},
    "test_evaluator": {"data_root"},
    "train_cfg": {"max_epochs", "val_begin", "val_interval"},
}
"""Keys inside parts that do not: a run may go on with other ones, and for more epochs."""


def run_settings(config: Config, seed: int, **more: Any) -> dict[str, Any]:
    """What two runs of an mmengine config must share to be the same run, as JSON-able values.

    The device, the number of workers, the place of the data and the number of epochs may differ.
    """
    return _plain({"seed": seed, **more, **_parts(config, DECISIVE)})


def finished_settings(config: Config, seed: int, **more: Any) -> dict[str, Any]:
    """What two finished runs must share to have ended with the same file, as JSON-able values.

    Beside what makes them the same run these are the number of epochs, and what was tested on.
    """
    epochs = (config.get("train_cfg") or {}).get("max_epochs")
    return run_settings(config, seed, epochs=epochs, **more, **_parts(config, TESTED))


def _parts(config: Config, names: Iterable[str]) -> dict[str, Any]:
    return {name: _without(config[name], HARMLESS.get(name, set())) for name in names if config.get(name)}


def _without(value: Any, keys: set[str]) -> Any:
    if isinstance(value, dict):
        return {str(key): _without(item, keys) for key, item in value.items() if key not in keys}
    if isinstance(value, (list, tuple)):
        return [_without(item, keys) for item in value]
    return value


def _plain(settings: dict[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(settings, default=repr))
    return plain
