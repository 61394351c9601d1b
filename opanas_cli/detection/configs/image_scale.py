"""The size that a config's pipelines resize images to, set wherever it is written, and nothing else changed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from mmengine.config import Config

from opanas_cli.detection.configs.parts import DATALOADERS, inner_datasets
from opanas_cli.errors import InvalidConfigError

Scale = tuple[int, ...]

OTHER_SIZES = re.compile("Resize|MaxSize|Sized|RandomScale|Mosaic|MixUp|MultiScaleFlipAug|ImageAug|CenterCropPad")
"""Transforms that set sizes of their own, including those of albumentations (`Albu`)."""

SIZE_KEYS = ("img_scale", "img_scales", "scales", "size")
"""Settings by which other transforms, a user's too, take sizes in pixels."""

BRANCHES = {"RandomChoice": "transforms", "MultiBranch": "branch_pipelines"}
"""Transforms that run one of several pipelines on an image, and the setting that has these."""


def set_image_scale(
    config: Config, scale: Any, train_scales: Any = None, dataloaders: Sequence[str] = DATALOADERS
) -> None:
    """Set the (width, height) of every resizing of some dataloaders, and nothing else of it.

    Raises InvalidConfigError if there is no resizing, or one that cannot be set.

    Args:
        scale: None leaves the resizing as it is.
        train_scales: the smallest and the largest (width, height) that training images are resized to at random.
    """
    for name in dataloaders:
        training = name == "train_dataloader"
        setting = "train_scales" if training and train_scales else "image_scale"
        scales = [tuple(size) for size in (train_scales if setting == "train_scales" else [scale] if scale else [])]
        if not (config.get(name) and scales):
            continue
        try:
            for augment in _batch_augments(config) if training else ():
                _refuse_sizes(augment)
            if not _set_dataset(config[name]["dataset"], scales):
                raise _CannotSetError("images are not resized")
            for hook in config.get("custom_hooks") or () if training else ():
                if "switch_pipeline" in hook and not _set_any(hook["switch_pipeline"], scales):
                    raise _CannotSetError(f"images are not resized after {_kind(hook)}")
        except _CannotSetError as error:
            raise InvalidConfigError(
                f"{config.filename}: {name}: {setting} cannot be set: {error}; use Resize, RandomResize or "
                f"RandomChoiceResize, or set the size in the pipeline and {setting}=None"
            ) from error


class _CannotSetError(Exception):
    pass


def _kind(transform: Any) -> str:
    """The type of a transform without its registry; configs give it by name or as a class."""
    kind = transform["type"]
    return str(kind if isinstance(kind, str) else kind.__name__).rpartition(".")[2]


def _batch_augments(config: Config) -> list[Any]:
    model = config.model.get("detector") or config.model
    return list((model.get("data_preprocessor") or {}).get("batch_augments") or ())


def _set_dataset(dataset: Any, scales: list[Scale]) -> bool:
    """Set what a data set and those inside resize to; return whether every image that comes out was resized."""
    own = _set_any(dataset.get("pipeline") or (), scales)
    inner = [_set_dataset(part, scales) for part in inner_datasets(dataset)]
    return own or (bool(inner) and all(inner))


def _set_any(transforms: Any, scales: list[Scale]) -> bool:
    """Set all transforms of a pipeline, or in another transform, and return whether one of them resizes every image."""
    resized = [_set_transform(part, scales) for part in _nested(transforms)]
    return any(resized)


def _set_transform(transform: Any, scales: list[Scale]) -> bool:
    kind = _kind(transform)
    if kind in _SETTERS:
        _SETTERS[kind](transform, scales)
        return True
    _refuse_sizes(transform, deep=kind == "Albu")
    if kind == "Albu":
        return False
    if kind in BRANCHES:
        branches = transform[BRANCHES[kind]]
        resized = [_set_any([part], scales) for part in (branches.values() if isinstance(branches, dict) else branches)]
        return all(resized)
    return _set_any(transform, scales) and (kind != "RandomApply" or transform.get("prob", 0.5) == 1)


def _refuse_sizes(transform: Any, where: str = "", deep: bool = False) -> None:
    kind = _kind(transform)
    if OTHER_SIZES.search(kind) or any(transform.get(key) is not None for key in SIZE_KEYS):
        raise _CannotSetError(f"{kind}{where} has sizes of its own")
    for inner in _nested(transform) if deep else ():
        _refuse_sizes(inner, " in Albu", deep)


def _nested(transforms: Any) -> Iterator[Any]:
    """The transforms in lists and dicts of any depth below one."""
    for part in transforms.values() if isinstance(transforms, dict) else transforms:
        if isinstance(part, dict) and "type" in part:
            yield part
        elif isinstance(part, (dict, list, tuple)):
            yield from _nested(part)


def _set_resize(transform: Any, scales: list[Scale]) -> None:
    transform.pop("scale_factor", None)
    if len(scales) == 1:
        transform["scale"] = scales[0]
    else:
        kept = {} if _kind(transform) == "Resize" else {"resize_type": transform["type"]}
        transform.update(type="RandomResize", scale=scales, **kept)


def _set_random_resize(transform: Any, scales: list[Scale]) -> None:
    if len(scales) == 1:
        # One scale takes a range of ratios.
        transform.update(scale=scales[0], ratio_range=transform.get("ratio_range") or (1.0, 1.0))
    else:
        transform.pop("ratio_range", None)
        transform["scale"] = scales


def _set_choice(transform: Any, scales: list[Scale]) -> None:
    if len(scales) == 1:
        transform["scales"] = scales
    else:
        transform.pop("scales", None)
        transform.update(type="RandomResize", scale=scales)


def _set_shape(transform: Any, scales: list[Scale]) -> None:
    if len(scales) > 1:
        raise _CannotSetError("FixShapeResize has one size")
    transform["width"], transform["height"] = scales[0]


_SETTERS = {
    "Resize": _set_resize,
    "FixScaleResize": _set_resize,
    "RandomResize": _set_random_resize,
    "RandomChoiceResize": _set_choice,
    "FixShapeResize": _set_shape,
}
