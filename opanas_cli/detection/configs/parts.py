"""The parts of a config that several stages read: its data sets, evaluators and class heads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mmengine.config import Config

from opanas_cli.errors import InvalidConfigError

DATALOADERS = ("train_dataloader", "val_dataloader", "test_dataloader")


def each_dataset(dataloader: Any) -> list[Any]:
    """The innermost data set configs of a dataloader config, through wrappers."""
    return list(_innermost(dataloader.get("dataset"))) if dataloader else []


def required_datasets(config: Config, split: str) -> list[Any]:
    """Those of a split; raises InvalidConfigError if there is none."""
    if found := each_dataset(config.get(f"{split}_dataloader")):
        return found
    raise InvalidConfigError(f"{config.filename}: has no {split}_dataloader with a dataset; add one")


def _innermost(dataset: Any) -> Iterator[Any]:
    if not isinstance(dataset, dict):
        return
    inner = inner_datasets(dataset)
    if not inner:
        yield dataset
    for part in inner:
        yield from _innermost(part)


def inner_datasets(dataset: Any) -> list[Any]:
    """The data set configs directly inside a wrapper's; an empty list for others."""
    return [dataset["dataset"]] if "dataset" in dataset else list(dataset.get("datasets") or ())


def class_heads(model: Any) -> list[Any]:
    """The parts of a model config that carry `num_classes`: heads of boxes and masks, and losses in them.

    Not those of region proposals and of semantic maps, whose classes are others.
    """
    owners = [model, model.get("roi_head") or {}]
    heads = [owner[name] for owner in owners for name in owner if name in CLASS_HEADS]
    return [part for head in heads for part in dicts_in(head) if "num_classes" in part]


CLASS_HEADS = ("bbox_head", "mask_head", "mask_iou_head", "point_head", "glbctx_head")


def dicts_in(part: Any) -> Iterator[Any]:
    """The dicts at any depth in a part of a config, itself first."""
    if isinstance(part, dict):
        yield part
        part = list(part.values())
    for inner in part if isinstance(part, (list, tuple)) else ():
        yield from dicts_in(inner)


def require_backbone(config: Config) -> None:
    """Raise InvalidConfigError if a model has no backbone of its own."""
    if not isinstance(config.model.get("backbone"), dict):
        raise InvalidConfigError(
            f"{config.filename}: model.backbone is missing; give the config of a detector with a backbone, a neck and "
            "heads"
        )


def each_evaluator(config: Config, split: str) -> list[Any]:
    """The evaluator configs of a split."""
    evaluators = config.get(f"{split}_evaluator") or []
    return list(evaluators) if isinstance(evaluators, (list, tuple)) else [evaluators]


def set_classes(config: Config, classes: Sequence[str]) -> None:
    """Give the data sets and the class heads of a config these classes."""
    config.classes = tuple(classes)
    for name in DATALOADERS:
        for dataset in each_dataset(config.get(name)):
            dataset["metainfo"] = dict(classes=tuple(classes))
    for head in class_heads(config.model):
        head["num_classes"] = len(classes)


def as_classes(classes: Any) -> tuple[str, ...]:
    """Class names from a setting: one name alone is a tuple of one, and a number is a name."""
    return tuple(str(name) for name in classes) if isinstance(classes, (list, tuple)) else (str(classes),)


def without(value: Any, keys: set[str]) -> Any:
    """A part of a config without some keys at any depth."""
    if isinstance(value, dict):
        return {str(key): without(item, keys) for key, item in value.items() if key not in keys}
    if isinstance(value, (list, tuple)):
        return [without(item, keys) for item in value]
    return value
