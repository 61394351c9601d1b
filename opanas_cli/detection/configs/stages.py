"""Turns a config into what mmengine runs: the super-net's training, its search, or the full training of one neck."""

from __future__ import annotations

import copy
from typing import Any

from mmengine.config import Config, ConfigDict

from opanas_cli.detection.configs.image_scale import set_image_scale
from opanas_cli.detection.configs.necks import super_net_neck
from opanas_cli.detection.configs.parts import each_dataset, inner_datasets
from opanas_cli.detection.configs.schedule import apply_schedule, fuse_update
from opanas_cli.detection.configs.setting_checks import stage_settings
from opanas_cli.errors import InvalidConfigError
from opanas_cli.stage_settings import STAGES


def super_net_stage(config: Config, seed: int) -> Config:
    """The config of an mmengine Runner that trains the super-net."""
    super_net_neck(config)
    settings = stage_settings(config, "supernet")
    stage = _without_stages(config)
    stage.model = dict(
        type="SuperNetDetector",
        detector=copy.deepcopy(config.model),
        l1_weight=settings.l1_weight,
        seed=seed,
        sampling=settings.sampling,
    )
    for key in ("val_dataloader", "val_evaluator", "val_cfg", "test_dataloader", "test_evaluator", "test_cfg"):
        stage.pop(key, None)
    apply_schedule(stage, settings)
    fuse_update(stage)
    stage.train_dataloader.dataset = dict(
        type="ImageSubset",
        dataset=stage.train_dataloader.dataset,
        part="train",
        search_split=settings.search_split,
        data_fraction=settings.data_fraction,
        split_by=settings.split_by,
    )
    return stage


def search_dataset(config: Config, search_split: float, max_images: int | None) -> ConfigDict:
    """What candidates are evaluated on: held-out training images, or the validation set at a split of 0.

    Raises:
        InvalidConfigError: there is no validation set, whose pipeline both need.
    """
    settings = stage_settings(config, "supernet")
    if not each_dataset(config.get("val_dataloader")):
        raise InvalidConfigError(f"{config.filename}: has no val_dataloader with a dataset; add one")
    source = copy.deepcopy(config)
    set_image_scale(source, settings.image_scale, dataloaders=["val_dataloader"])
    test_pipeline = _pipeline(source.val_dataloader.dataset)
    if not search_split:
        dataset, split = source.val_dataloader.dataset, 1.0
    else:
        dataset, split = _as_test(source.train_dataloader.dataset, test_pipeline), search_split
    return ConfigDict(
        type="ImageSubset",
        dataset=dataset,
        part="search",
        search_split=split,
        max_images=max_images,
        split_by=settings.split_by if search_split else "file",
    )


def retrain_stage(config: Config, neck: dict[str, Any] | None) -> Config:
    """The config of an mmengine Runner that trains one neck in full, by the `retrain` settings if there are any.

    Args:
        neck: the neck instead of the config's own.

    Raises:
        InvalidConfigError: the config does not say how to train.
    """
    stage = _without_stages(config)
    if neck is not None:
        stage.model.neck = ConfigDict(neck)
    if config.get("retrain"):
        apply_schedule(stage, stage_settings(config, "retrain"))
    for part in ("train_cfg", "optim_wrapper"):
        if not stage.get(part):
            raise InvalidConfigError(
                f"{config.filename}: has no {part}, and no section `retrain` to make it of; add retrain=dict(epochs=12)"
            )
    for split in ("val", "test"):
        if stage.get(f"{split}_dataloader") and not stage.get(f"{split}_cfg"):
            stage[f"{split}_cfg"] = dict(type="ValLoop" if split == "val" else "TestLoop")
    return stage


def _without_stages(config: Config) -> Config:
    stage = copy.deepcopy(config)
    for name in STAGES:
        stage.pop(name, None)
    return stage


def _pipeline(dataset: Any) -> Any:
    """The pipeline that a data set's images come through last, in the first that has one."""
    found = [dataset.get("pipeline"), *map(_pipeline, inner_datasets(dataset))]
    return next((pipeline for pipeline in found if pipeline), None)


def _as_test(dataset: Any, pipeline: Any) -> Any:
    """Training images as a test sees them: each once, without what wraps a data set to repeat or to mix images."""
    if "dataset" in dataset:
        return _as_test(dataset["dataset"], pipeline)
    if "datasets" in dataset:
        dataset["datasets"] = [_as_test(part, pipeline) for part in dataset["datasets"]]
    else:
        dataset.update(pipeline=pipeline, test_mode=True)
        dataset.pop("filter_cfg", None)
    return dataset
