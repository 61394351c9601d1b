"""Whether the settings of the stages are numbers of the right kind, told before anything runs."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

from mmengine.config import Config
from mmengine.registry import OPTIMIZERS

from opanas_cli.detection.configs.stages import DEFAULTS, stage_settings
from opanas_cli.detection.data.image_subset import SPLITS
from opanas_cli.detection.scoring.average_precision import METRICS
from opanas_cli.errors import InvalidConfigError

SMALLEST_SIDE = 32
"""The stride of the coarsest level of a backbone: smaller images have no pixel there."""

Check = tuple[Callable[[Any], bool], str]


def _number(value: Any, low: float, high: float = math.inf) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value < high


def _whole(value: Any, low: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= low


def _pair(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) == 2 and all(_whole(side, 1) for side in value)


def _two_sizes(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) == 2 and all(_pair(size) for size in value)


def _optimizer(name: Any) -> bool:
    """Whether there is an optimizer of this name that takes the two settings which every stage gives it."""
    found = OPTIMIZERS.get(name) if isinstance(name, str) and name else None
    return inspect.isclass(found) and {"lr", "weight_decay"} <= set(inspect.signature(found).parameters)


def _optional(check: Check) -> Check:
    return lambda value: value is None or check[0](value), f"{check[1]}, or None"


_POSITIVE: Check = (lambda value: _number(value, 1e-12), "a number above 0")
_NOT_NEGATIVE: Check = (lambda value: _number(value, 0), "a number of at least 0")
_COUNT: Check = (lambda value: _whole(value, 1), "a whole number of at least 1")
_COUNT_OR_ZERO: Check = (lambda value: _whole(value, 0), "a whole number of at least 0")
_SIZE: Check = (
    lambda value: _pair(value) and min(value) >= SMALLEST_SIDE,
    f"two whole numbers of at least {SMALLEST_SIDE} pixels, (width, height)",
)

CHECKS: dict[str, Check] = {
    "image_scale": _optional(_SIZE),
    "train_scales": _optional((_two_sizes, "the smallest and the largest (width, height) in pixels")),
    "search_split": (lambda value: _number(value, 0, 1), "a fraction of at least 0 and below 1"),
    "split_by": (lambda value: value in SPLITS, f"one of {', '.join(SPLITS)}"),
    "data_fraction": (lambda value: _number(value, 1e-12, 1 + 1e-12), "a fraction above 0 and of at most 1"),
    "batch_size": _COUNT,
    "epochs": _COUNT,
    "optimizer": (_optimizer, "an optimizer of torch that takes lr and weight_decay, as SGD and AdamW do"),
    "lr": _POSITIVE,
    "milestones": (
        lambda value: value is None or (isinstance(value, (list, tuple)) and all(_whole(step, 0) for step in value)),
        "a list of epochs",
    ),
    "warmup_iters": _COUNT_OR_ZERO,
    "momentum": _NOT_NEGATIVE,
    "weight_decay": _NOT_NEGATIVE,
    "l1_weight": _NOT_NEGATIVE,
    "grad_clip": _optional(_POSITIVE),
    "amp": (lambda value: isinstance(value, bool), "True or False"),
    "watch_interval": _optional(_COUNT),
    "watch_sub_nets": _COUNT,
    "population": _COUNT,
    "generations": _COUNT_OR_ZERO,
    "top_k": _COUNT,
    "metric": (lambda value: value in METRICS, f"one of {', '.join(METRICS)}"),
    "mutation_prob": (lambda value: _number(value, 0, 1 + 1e-12), "a probability"),
    "max_images": _optional(_COUNT),
    "halving": (lambda value: isinstance(value, bool), "True or False"),
    "memory_mb": _optional(_POSITIVE),
}
"""What each setting must be, and how to say it."""


CHECKPOINTS: dict[str, Check] = {"minutes": _optional(_POSITIVE), "steps": _optional(_COUNT)}
"""What the settings of `checkpoints` must be: the most minutes and the most steps between two of them."""


def check_settings(config: Config) -> None:
    """Check the sections `supernet`, `search`, `retrain` and `checkpoints`, and `cost_input`, where they are there.

    Raises:
        InvalidConfigError: a value is not what it must be.
    """
    for stage in DEFAULTS:
        if config.get(stage) is not None:
            _check_section(config, stage, CHECKS)
            stage_settings(config, stage)
    if config.get("checkpoints") is not None:
        _check_section(config, "checkpoints", CHECKPOINTS)
        unknown = sorted(set(config.checkpoints) - set(CHECKPOINTS))
        if unknown:
            raise InvalidConfigError(
                f"{config.filename}: checkpoints.{unknown[0]} is not a setting; there are {', '.join(CHECKPOINTS)}"
            )
    size = config.get("cost_input")
    if size is not None and not _pair(size):
        raise InvalidConfigError(f"{config.filename}: cost_input must be (height, width), but got {size!r:.60}")


def _check_section(config: Config, name: str, checks: dict[str, Check]) -> None:
    section = config[name]
    if not isinstance(section, dict):
        raise InvalidConfigError(f"{config.filename}: {name} must be a dict of settings, but got {section!r:.60}")
    for key, value in section.items():
        holds, wanted = checks.get(key, (lambda _: True, ""))
        if not holds(value):
            raise InvalidConfigError(f"{config.filename}: {name}.{key} must be {wanted}, but got {value!r:.60}")
