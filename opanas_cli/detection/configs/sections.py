"""Whether the parts of a config that we look into are of the kind they must be, told before anything looks."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from os import PathLike
from types import MappingProxyType
from typing import Any, NamedTuple

from mmengine.config import Config
from mmengine.runner import Runner

from opanas_cli.detection.configs.parts import DATALOADERS
from opanas_cli.errors import InvalidConfigError, UsageError
from opanas_cli.stage_settings import SECTIONS
from opanas_cli.suggestions import suggestion


class Kind(NamedTuple):
    """What a part must be, and the kinds of the parts in it by their keys. None always stands for a part left out."""

    said: str
    types: tuple[type, ...] = (dict,)
    parts: Mapping[str, Any] = MappingProxyType({})


SECTION = Kind("a dict of settings")
TEXT = Kind("text in quotes", (str, PathLike))
DICTS = Kind("a list of dicts", (list, tuple))
ONE_OR_MORE = Kind("a dict of settings, or a list of them", (dict, list, tuple))


def _of(**parts: Kind) -> Kind:
    return SECTION._replace(parts=parts)


_DATASET: dict[str, Kind] = dict(pipeline=DICTS, ann_file=TEXT, data_root=TEXT, data_prefix=SECTION, metainfo=SECTION)
DATASET = SECTION._replace(parts=_DATASET)
_DATASET.update(dataset=DATASET, datasets=DICTS._replace(parts=_DATASET))  # Of wrappers.
EVALUATOR = ONE_OR_MORE._replace(parts=dict(ann_file=TEXT, data_root=TEXT))
CONFIG: dict[str, Kind] = {
    "model": _of(
        backbone=SECTION,
        neck=SECTION,
        rpn_head=SECTION,
        roi_head=_of(bbox_head=ONE_OR_MORE, bbox_roi_extractor=ONE_OR_MORE, mask_head=ONE_OR_MORE),
        bbox_head=SECTION,
        data_preprocessor=SECTION._replace(parts=dict(batch_augments=DICTS)),
        test_cfg=_of(rpn=SECTION),
    ),
    **dict.fromkeys(DATALOADERS, _of(dataset=DATASET)),
    **dict.fromkeys(("val_evaluator", "test_evaluator"), EVALUATOR),
    **dict.fromkeys(("train_cfg", "val_cfg", "test_cfg", "auto_scale_lr", "default_hooks", "visualizer"), SECTION),
    "optim_wrapper": _of(optimizer=SECTION),
    "param_scheduler": ONE_OR_MORE,
    "custom_hooks": DICTS,
    "load_from": TEXT,
}
"""What is looked at before mmengine, mmdet and mmcv look at the rest."""

OURS = (*SECTIONS, "cost_input", "data_root", "classes")
"""The keys of a config that are none of mmengine's."""


def check_sections(config: Config) -> None:
    """Check that the parts of a config are of their kinds, and that a detector of two stages has both.

    Raises:
        InvalidConfigError: one is not, or one is missing.
    """
    for key, kind in CONFIG.items():
        _check(config.filename, key, config.get(key), kind)
    model = config.model
    for part, other in (("rpn_head", "roi_head"), ("roi_head", "rpn_head")):
        if model.get(other) and not model.get(part) and (part == "rpn_head" or part in model):
            raise InvalidConfigError(f"{config.filename}: model.{part} is missing; its {other} needs one")


def _check(source: Any, where: str, part: Any, kind: Kind) -> None:
    if part is None:
        return
    if not isinstance(part, kind.types):
        raise InvalidConfigError(f"{source}: {where} must be {kind.said}, but got {part!r:.60}")
    if isinstance(part, dict):
        for key, inner in kind.parts.items():
            _check(source, f"{where}.{key}", part.get(key), inner)
    elif isinstance(part, (list, tuple)):
        for index, entry in enumerate(part):
            _check(source, f"{where}[{index}]", entry, SECTION._replace(parts=kind.parts))


def require_known_keys(config: Config, overrides: Iterable[str]) -> None:
    """Check that overrides begin with keys that the config has or that mean something.

    Raises:
        UsageError: one does not; the message suggests the closest.
    """
    known = {*config.keys(), *OURS, *inspect.signature(Runner.__init__).parameters} - {"self", "cfg"}
    for override in overrides:
        key = override.split(".")[0]
        if key not in known:
            hint = suggestion(key, sorted(known), f"see the keys of {config.filename}")
            raise UsageError(f"--cfg-options: '{key:.64}' is no key of a config; {hint}")
