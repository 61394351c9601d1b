"""Whether the settings of a config are what they must be, reported before anything is read or runs."""

from __future__ import annotations

import inspect
from typing import Any

from mmengine.config import Config
from mmengine.registry import OPTIMIZERS

from opanas_cli.errors import InvalidConfigError
from opanas_cli.stage_settings import SECTIONS, STAGES, is_size, settings_of


def check_settings(config: Config) -> None:
    """Check the sections `supernet`, `search`, `retrain` and `checkpoints`, and `cost_input`, if the config has them.

    Raises:
        InvalidConfigError: a setting is unknown, or its value is not what it must be.
    """
    for section in SECTIONS:
        if config.get(section) is not None:
            _check_section(config, section)
    size = config.get("cost_input")
    if size is not None and not is_size(size, 1):
        raise InvalidConfigError(f"{config.filename}: cost_input must be (height, width), but got {size!r:.60}")


def stage_settings(config: Config, stage: str) -> Any:
    """The settings of a stage, the paper's if the config is silent: an instance of `STAGES[stage]`.

    Raises:
        InvalidConfigError: a setting is unknown, or its value is not what it must be.
    """
    given = config.get(stage)
    if given is not None:
        _check_section(config, stage)
    return STAGES[stage](**(given or {}))


def _check_section(config: Config, section: str) -> None:
    given, known = config[section], settings_of(section)
    if not isinstance(given, dict):
        raise InvalidConfigError(f"{config.filename}: {section} must be a dict of settings, but got {given!r:.60}")
    for name, value in given.items():
        where = f"{config.filename}: {section}.{name}"
        if name not in known:
            raise InvalidConfigError(f"{where} is not a setting; there are {', '.join(known)}")
        check = known[name].metadata["check"]
        if not check.holds(value):
            raise InvalidConfigError(f"{where} must be {check.wanted}, but got {value!r:.60}")
        if name == "optimizer" and not _is_optimizer(value):
            wanted = "an optimizer of torch that takes lr and weight_decay, as SGD and AdamW do"
            raise InvalidConfigError(f"{where} must be {wanted}, but got {value!r:.60}")


def _is_optimizer(name: str) -> bool:
    """Whether there is an optimizer of this name that takes the two settings which every stage gives it."""
    found = OPTIMIZERS.get(name)
    return inspect.isclass(found) and {"lr", "weight_decay"} <= set(inspect.signature(found).parameters)
