"""Turns a config into what mmengine runs: the super-net's training, or the full training of one neck."""

from __future__ import annotations

import copy
import inspect
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.registry import OPTIMIZERS

from opanas_cli.detection.configs.image_scale import set_image_scale
from opanas_cli.detection.configs.parts import each_dataset, inner_datasets, neck_of, super_net_neck
from opanas_cli.errors import InvalidConfigError, InvalidGenotypeError
from opanas_cli.formats import GenotypeRecord
from opanas_cli.formats.json_format import document_of
from opanas_cli.genotype import Genotype, SearchSpace, SpaceKind

SUPERNET_DEFAULTS = dict(
    image_scale=None,
    search_split=0.1,
    split_by="file",
    data_fraction=1.0,
    batch_size=16,
    epochs=12,
    optimizer="SGD",
    lr=0.02,
    milestones=(8, 11),
    warmup_iters=500,
    momentum=0.9,
    weight_decay=1e-4,
    l1_weight=1e-4,
    grad_clip=None,
    amp=False,
    watch_interval=None,
    watch_sub_nets=50,
)
"""Section 4.1.2; `image_scale` None leaves the pipelines as they are. The sub-nets watched are those of Figure 4."""

SEARCH_DEFAULTS = dict(
    population=50,
    generations=12,
    top_k=10,
    mutation_prob=0.1,
    metric="AP",
    max_images=None,
    halving=False,
    batch_size=8,
    memory_mb=None,
)
"""Section 3.2.2."""

SUPERNET_ONLY = ("search_split", "split_by", "data_fraction", "l1_weight", "watch_interval", "watch_sub_nets")

RETRAIN_DEFAULTS = dict(
    {name: value for name, value in SUPERNET_DEFAULTS.items() if name not in SUPERNET_ONLY}, train_scales=None
)
"""Section 4.1.3; `train_scales` are the smallest and the largest (width, height) of multi-scale training."""

DEFAULTS = {"supernet": SUPERNET_DEFAULTS, "search": SEARCH_DEFAULTS, "retrain": RETRAIN_DEFAULTS}
SUPER_NET_OPTIONS = ("num_nodes", "space", "paths")


def stage_settings(config: Config, stage: str) -> ConfigDict:
    """The settings of a stage of the search, the paper's where the config is silent.

    Raises:
        InvalidConfigError: a setting is unknown.
    """
    defaults = DEFAULTS[stage]
    given = config.get(stage) or {}
    unknown = set(given) - set(defaults)
    if unknown:
        raise InvalidConfigError(
            f"{config.filename}: {stage}.{sorted(unknown)[0]} is not a setting; there are {', '.join(defaults)}"
        )
    return ConfigDict({**defaults, **given})


def search_space(config: Config) -> SearchSpace:
    """The space of the genotypes of a config's super-net.

    Raises:
        InvalidConfigError: the neck is no super-net.
        InvalidGenotypeError: there is no such space, or it is empty.
    """
    neck = super_net_neck(config)
    try:
        return SearchSpace.of(**{name: neck[name] for name in SUPER_NET_OPTIONS if name in neck})
    except InvalidGenotypeError as error:
        raise InvalidGenotypeError(f"{config.filename}: model.neck: {error}") from error


def super_net_stage(config: Config, seed: int) -> Config:
    """The config of an mmengine Runner that trains the super-net."""
    super_net_neck(config)
    settings = stage_settings(config, "supernet")
    stage = _without_stages(config)
    stage.model = dict(
        type="SuperNetDetector", detector=copy.deepcopy(config.model), l1_weight=settings.l1_weight, seed=seed
    )
    for key in ("val_dataloader", "val_evaluator", "val_cfg", "test_dataloader", "test_evaluator", "test_cfg"):
        stage.pop(key, None)
    apply_schedule(stage, settings)
    _fuse_update(stage)
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
    """The config of an mmengine Runner that trains one neck in full, by the `retrain` settings where there are any.

    Args:
        neck: the neck instead of the config's own.
    """
    stage = _without_stages(config)
    if neck is not None:
        stage.model.neck = ConfigDict(neck)
    if config.get("retrain"):
        apply_schedule(stage, stage_settings(config, "retrain"))
    for split in ("val", "test"):
        if stage.get(f"{split}_dataloader") and not stage.get(f"{split}_cfg"):
            stage[f"{split}_cfg"] = dict(type="ValLoop" if split == "val" else "TestLoop")
    return stage


def sub_net_neck(config: Config, genotype: Genotype, **options: Any) -> dict[str, Any]:
    """The settings of the stand-alone neck of a genotype, all else as in the config's super-net."""
    neck = {key: value for key, value in neck_of(config).items() if key not in SUPER_NET_OPTIONS}
    return {**neck, "type": "OPAFPN", "genotype": _spelled(genotype), **options}


def _spelled(genotype: Genotype) -> Any:
    """As path names where that says it all, else as the JSON document."""
    if genotype.space is SpaceKind.DENSE:
        return [str(path) for path in genotype.paths]
    return document_of(GenotypeRecord(genotype))


def apply_schedule(config: Config, settings: dict[str, Any]) -> None:
    """Set image size, batch, optimizer and learning rates from the plain settings of a stage (section 4.1)."""
    epochs, warmup, milestones = int(settings["epochs"]), int(settings["warmup_iters"]), settings["milestones"]
    set_image_scale(config, settings["image_scale"], settings.get("train_scales"))
    config.train_dataloader["batch_size"] = int(settings["batch_size"])
    config.train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=epochs, val_interval=epochs + 1)
    momentum = dict(momentum=settings["momentum"]) if settings["optimizer"] == "SGD" else {}
    config.optim_wrapper = dict(
        type="AmpOptimWrapper" if settings["amp"] else "OptimWrapper",
        optimizer=dict(
            type=settings["optimizer"], lr=settings["lr"], weight_decay=settings["weight_decay"], **momentum
        ),
        clip_grad=dict(max_norm=settings["grad_clip"]) if settings["grad_clip"] else None,
    )
    config.param_scheduler = []
    if warmup:
        config.param_scheduler.append(dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=warmup))
    if milestones:
        config.param_scheduler.append(
            dict(type="MultiStepLR", by_epoch=True, begin=0, milestones=list(milestones), gamma=0.1)
        )


def _fuse_update(config: Config) -> None:
    """Update all weights by one kernel, where torch has one: a super-net has hundreds of small tensors."""
    optimizer = config.optim_wrapper.optimizer
    if "fused" in inspect.signature(OPTIMIZERS.get(optimizer.type)).parameters:
        optimizer.fused = True


def _without_stages(config: Config) -> Config:
    stage = copy.deepcopy(config)
    for name in DEFAULTS:
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
