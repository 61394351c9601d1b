"""Whether the parts and the settings of a config are of the kinds they must be, reported before anything reads them."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterable, Mapping
from os import PathLike
from types import MappingProxyType
from typing import Any, NamedTuple

from mmengine.config import Config
from mmengine.registry import OPTIMIZERS
from mmengine.runner import Runner

from opanas_cli.detection.configs.parts import DATALOADERS
from opanas_cli.errors import InvalidConfigError, UsageError
from opanas_cli.stage_settings import SECTIONS, STAGES, is_size, settings_of
from opanas_cli.suggestions import suggestion


class PartKind(NamedTuple):
    """What a part must be, and the kinds of the parts in it by their keys. None stands for a part left out."""

    wanted: str
    types: tuple[type, ...] = (dict,)
    parts: Mapping[str, Any] = MappingProxyType({})
    required: bool = False


DICT = PartKind("a dict of settings")
TEXT = PartKind("text in quotes", (str, PathLike))
DICTS = PartKind("a list of dicts", (list, tuple))
ONE_OR_MORE = PartKind("a dict of settings, or a list of them", (dict, list, tuple))
TYPED_DICTS = DICTS._replace(parts=dict(type=PartKind("a name in quotes, or a class", (str, type), required=True)))
WHOLE = PartKind("a whole number", (int,))


def _of(**parts: PartKind) -> PartKind:
    return DICT._replace(parts=parts)


_DATASET: dict[str, PartKind] = dict(
    type=TEXT._replace(required=True),
    pipeline=TYPED_DICTS,
    ann_file=TEXT,
    data_root=TEXT,
    data_prefix=DICT,
    metainfo=DICT,
)
DATASET = DICT._replace(parts=_DATASET)
_DATASET.update(dataset=DATASET, datasets=DICTS._replace(parts=_DATASET))  # Of wrappers.
EVALUATOR = ONE_OR_MORE._replace(parts=dict(ann_file=TEXT, data_root=TEXT))
KINDS: dict[str, PartKind] = {
    "model": _of(
        backbone=DICT,
        neck=ONE_OR_MORE,
        rpn_head=DICT,
        roi_head=_of(bbox_head=ONE_OR_MORE, bbox_roi_extractor=ONE_OR_MORE, mask_head=ONE_OR_MORE),
        bbox_head=DICT,
        data_preprocessor=DICT._replace(parts=dict(batch_augments=TYPED_DICTS)),
        test_cfg=_of(rpn=DICT),
    ),
    **dict.fromkeys(DATALOADERS, _of(dataset=DATASET._replace(required=True))),
    **dict.fromkeys(("val_evaluator", "test_evaluator"), EVALUATOR),
    **dict.fromkeys(("train_cfg", "val_cfg", "test_cfg", "auto_scale_lr", "default_hooks"), DICT),
    "visualizer": _of(vis_backends=TYPED_DICTS),
    "log_processor": _of(window_size=WHOLE),
    "optim_wrapper": _of(optimizer=DICT),
    "param_scheduler": ONE_OR_MORE,
    "custom_hooks": TYPED_DICTS,
    "load_from": TEXT,
}
"""What opanas reads of a config before mmengine, mmdet and mmcv read the rest."""

RUNNER_KEYS = set(inspect.signature(Runner.__init__).parameters) - {"self", "cfg"}
"""The keys of a config that mmengine's Runner takes."""

OURS = (*SECTIONS, "cost_input", "data_root", "classes")
"""The keys of a config that are none of mmengine's."""


def check_parts(config: Config) -> None:
    """Check that the parts of a config are of their kinds, and that a detector of two stages has both.

    Raises InvalidConfigError if one is not, or is missing.
    """
    for key, kind in KINDS.items():
        _check_part(config.filename, key, config.get(key), kind)
    model = config.model
    for part, other in (("rpn_head", "roi_head"), ("roi_head", "rpn_head")):
        if model.get(other) and not model.get(part) and (part == "rpn_head" or part in model):
            raise InvalidConfigError(f"{config.filename}: model.{part} is missing; its {other} needs one")


def _check_part(source: Any, name: str, part: Any, kind: PartKind) -> None:
    if part is None and not kind.required:
        return
    if not isinstance(part, kind.types):
        raise InvalidConfigError(f"{source}: {name} must be {kind.wanted}, but got {part!r:.60}")
    if isinstance(part, dict):
        for key, inner in kind.parts.items():
            _check_part(source, f"{name}.{key}", part.get(key), inner)
    elif isinstance(part, (list, tuple)):
        for index, entry in enumerate(part):
            _check_part(source, f"{name}[{index}]", entry, DICT._replace(parts=kind.parts, required=True))


def require_known_keys(config: Config, overrides: Iterable[str]) -> None:
    """Raise UsageError if an override begins with a key that neither the config has nor means anything."""
    known = {*config.keys(), *OURS, *RUNNER_KEYS}
    for override in overrides:
        key = override.split(".")[0]
        if key not in known:
            hint = suggestion(key, sorted(known), f"see the keys of {config.filename}")
            raise UsageError(f"--cfg-options: '{key:.64}' is not a config key; {hint}")


def check_settings(config: Config, overrides: Collection[str] = ()) -> None:
    """Check all of `SECTIONS` that the config has, and `cost_input`.

    Raises InvalidConfigError if a setting is unknown, or its value is not what it must be; of settings that `overrides`
    has it names --cfg-options as the source.
    """
    for name in SECTIONS:
        if config.get(name) is not None:
            _check_section(config, name, overrides)
    size = config.get("cost_input")
    if size is not None and not is_size(size, 1):
        raise InvalidConfigError(f"{config.filename}: cost_input must be (height, width), but got {size!r:.60}")


def section_of(config: Config, stage: str) -> Any:
    """The section of a stage as an instance of `STAGES[stage]`, with the paper's settings if the config has none.

    Raises InvalidConfigError if a setting is unknown, or its value is not what it must be.
    """
    given = config.get(stage)
    if given is not None:
        _check_section(config, stage)
    return STAGES[stage](**(given or {}))


def _check_section(config: Config, section: str, overrides: Collection[str] = ()) -> None:
    given, known = config[section], settings_of(section)
    if not isinstance(given, dict):
        raise InvalidConfigError(f"{config.filename}: {section} must be a dict of settings, but got {given!r:.60}")
    for name, value in given.items():
        setting = _where(config, f"{section}.{name}", overrides)
        if name not in known:
            hint = suggestion(name, known, f"the settings are {', '.join(known)}")
            raise InvalidConfigError(f"{setting} is not a setting; {hint}")
        check = known[name].metadata["check"]
        if not check.holds(value):
            raise InvalidConfigError(f"{setting} must be {check.wanted}, but got {value!r:.60}")
        if name == "optimizer" and not _is_optimizer(value):
            wanted = "an optimizer of torch that takes lr and weight_decay, as SGD and AdamW do"
            raise InvalidConfigError(f"{setting} must be {wanted}, but got {value!r:.60}")
    if section == "supernet":
        _check_method(config, overrides)


def _where(config: Config, setting: str, overrides: Collection[str]) -> str:
    """A setting, and where it comes from."""
    return f"{'--cfg-options' if setting in overrides else config.filename}: {setting}"


def _check_method(config: Config, overrides: Collection[str]) -> None:
    """Refuse settings that the super-net's method does not have, unless they have no effect."""
    given, known = config.supernet, settings_of("supernet")
    method = given.get("method", known["method"].default)
    for name, value in given.items():
        methods, otherwise = (known[name].metadata[key] for key in ("methods", "otherwise"))
        if methods and method not in methods and value != otherwise:
            setting = _where(config, f"supernet.{name}", overrides)
            raise InvalidConfigError(
                f"{setting} is a setting of supernet.method {' and '.join(methods)}, not of {method}; leave it out, or "
                f"set it to {otherwise}"
            )


def _is_optimizer(name: str) -> bool:
    """Whether there is an optimizer of this name that takes the two settings which every stage gives it."""
    found = OPTIMIZERS.get(name)
    return inspect.isclass(found) and {"lr", "weight_decay"} <= set(inspect.signature(found).parameters)
