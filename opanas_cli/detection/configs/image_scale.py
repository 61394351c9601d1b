"""The size that a config's pipelines resize images to, set wherever it is written, and nothing else changed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from mmengine.config import Config

from opanas_cli.detection.configs.parts import DATALOADERS, inner_datasets
from opanas_cli.errors import InvalidConfigError

Scale = tuple[int, int]

OTHER_SIZES = re.compile("Resize|MaxSize|RandomScale|Mosaic|MixUp|MultiScaleFlipAug|ImageAug")
"""Transforms that set sizes of their own, including those of albumentations (`Albu`)."""

SIZE_KEYS = {"img_scale", "img_scales", "scales"}
"""Settings by which other transforms, a user's too, take sizes in pixels."""


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
        scales = [_pair(size) for size in train_scales or ()] if training else []
        if not (config.get(name) and (scale or scales)):
            continue
        augments = _batch_augments(config) if training else []
        other = next((kind for kind in map(_kind, augments) if OTHER_SIZES.search(kind)), None)
        try:
            if other is not None:
                raise _CannotSetError(f"{other} resizes whole batches")
            if not _set_dataset(config[name]["dataset"], scales or [_pair(scale)]):
                raise _CannotSetError("images are not resized")
        except _CannotSetError as error:
            setting = "train_scales" if scales else "image_scale"
            raise InvalidConfigError(
                f"{config.filename}: {name}: {setting} cannot be set: {error}; use Resize, RandomResize or "
                f"RandomChoiceResize, or set the size in the pipeline and {setting}=None"
            ) from error


class _CannotSetError(Exception):
    pass


def _pair(size: Any) -> Scale:
    width, height = size
    return width, height


def _kind(transform: Any) -> str:
    """The type of a transform without its registry; configs give it by name or as a class."""
    kind = transform["type"]
    return str(getattr(kind, "__name__", kind)).rpartition(".")[2]


def _batch_augments(config: Config) -> list[Any]:
    model = config.model.get("detector") or config.model
    return list((model.get("data_preprocessor") or {}).get("batch_augments") or ())


def _set_dataset(dataset: Any, scales: list[Scale]) -> bool:
    """Set what a data set and those inside resize to; return whether every image that comes out was resized."""
    own = [_set_transform(transform, scales) for transform in dataset.get("pipeline") or ()]
    inner = [_set_dataset(part, scales) for part in inner_datasets(dataset)]
    return any(own) or (bool(inner) and all(inner))


def _set_transform(transform: Any, scales: list[Scale]) -> bool:
    kind = _kind(transform)
    if kind in _SETTERS:
        _SETTERS[kind](transform, scales)
        return True
    if OTHER_SIZES.search(kind) or SIZE_KEYS & set(transform):
        raise _CannotSetError(f"{kind} has sizes of its own")
    if kind == "Albu":
        others = [_kind(inner) for inner in _nested(transform) if OTHER_SIZES.search(_kind(inner))]
        if others:
            raise _CannotSetError(f"{others[0]} in Albu has sizes of its own")
        return False
    inner = [_set_transform(part, scales) for part in _nested(transform)]
    return any(inner)


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
