"""Turns a config into what mmengine runs: the super-net's training, its search, or the full training of one neck."""

from __future__ import annotations

import copy
import inspect
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.registry import OPTIMIZERS

from opanas_cli.detection.configs.image_scale import set_image_scale
from opanas_cli.detection.configs.necks import super_net_neck
from opanas_cli.detection.configs.parts import inner_datasets, required_datasets
from opanas_cli.detection.configs.sections import section_of
from opanas_cli.errors import InvalidConfigError
from opanas_cli.stage_settings import MIXED, STAGES, SuperNetSection, TrainingSection


def super_net_stage(config: Config, seed: int) -> Config:
    """The config of an mmengine Runner that trains the super-net."""
    super_net_neck(config)
    section = section_of(config, "supernet")
    runnable = _without_sections(config)
    runnable.model = dict(
        type="SuperNetDetector",
        detector=copy.deepcopy(config.model),
        l1_weight=section.l1_weight,
        seed=seed,
        sampling=section.sampling,
        method=section.method,
    )
    for key in ("val_dataloader", "val_evaluator", "val_cfg", "test_dataloader", "test_evaluator", "test_cfg"):
        runnable.pop(key, None)
    apply_schedule(runnable, section)
    _fuse_update(runnable)
    dataset = runnable.train_dataloader.dataset
    runnable.train_dataloader.dataset = training_part(config, dataset, section.search_split, section.data_fraction)
    if section.method in MIXED:
        _train_mixture(runnable, config.filename, section)
    return runnable


def _train_mixture(runnable: Config, source: Any, section: SuperNetSection) -> None:
    """Have a super-net's Runner train a mixture, its architecture parameters on the held-out images."""
    if not section.search_split:
        raise InvalidConfigError(
            f"{source}: supernet.method={section.method}: no images are held out to train the architecture parameters "
            "on; set supernet.search_split above 0"
        )
    if section.second_order and section.amp:
        raise InvalidConfigError(
            f"{source}: supernet.second_order: takes differences of gradients, which 16 bits are too few for; leave "
            "--amp out"
        )
    kept = {name: runnable.model[name] for name in ("detector", "l1_weight", "method")}
    options = {name: getattr(section, name) for name in ("zero_one_weight", "second_order")}
    runnable.model = dict(type="MixtureDetector", **kept, **options)
    training = runnable.train_dataloader.dataset
    held_out = {**copy.deepcopy(training), "part": "search"}
    runnable.train_dataloader.dataset = dict(type="HeldOutPairs", dataset=training, held_out=held_out)
    adam = dict(lr=section.architecture_lr, weight_decay=section.architecture_decay)
    runnable.optim_wrapper.update(constructor="MixtureOptimizers", architecture=adam)
    runnable.param_scheduler = dict(weights=runnable.param_scheduler, architecture=[])


def training_part(config: Config, dataset: Any, search_split: float, data_fraction: float = 1.0) -> dict[str, Any]:
    """Of a training data set the images that are not held out for the search, or a fraction of them."""
    return dict(
        type="ImageSubset",
        dataset=dataset,
        part="train",
        search_split=search_split,
        data_fraction=data_fraction,
        split_by=section_of(config, "supernet").split_by,
    )


def search_dataset(config: Config, search_split: float, max_images: int | None) -> ConfigDict:
    """What candidates are evaluated on: held-out training images, or the validation set at a split of 0.

    Raises InvalidConfigError if there is no validation set, whose pipeline both need.
    """
    section = section_of(config, "supernet")
    required_datasets(config, "val")
    source = copy.deepcopy(config)
    set_image_scale(source, section.image_scale, dataloaders=["val_dataloader"])
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
        split_by=section.split_by if search_split else "file",
    )


def retrain_stage(config: Config) -> Config:
    """The config of an mmengine Runner that trains one neck in full, by the section `retrain` if there is one.

    Raises InvalidConfigError if the config does not say how to train.
    """
    runnable = _without_sections(config)
    if config.get("retrain"):
        apply_schedule(runnable, section_of(config, "retrain"))
    for part in ("train_cfg", "optim_wrapper"):
        if not runnable.get(part):
            raise InvalidConfigError(
                f"{config.filename}: has no {part}, and no section `retrain` to make it of; add retrain=dict(epochs=12)"
            )
    for split in ("val", "test"):
        if runnable.get(f"{split}_dataloader") and not runnable.get(f"{split}_cfg"):
            runnable[f"{split}_cfg"] = dict(type="ValLoop" if split == "val" else "TestLoop")
    return runnable


def apply_schedule(runnable: Config, section: TrainingSection) -> None:
    """Set image size, batch, optimizer and learning rates from the section of a stage (section 4.1)."""
    required_datasets(runnable, "train")
    epochs, warmup, milestones = section.epochs, section.warmup_iters, section.milestones
    set_image_scale(runnable, section.image_scale, getattr(section, "train_scales", None))
    runnable.train_dataloader["batch_size"] = section.batch_size
    runnable.train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=epochs, val_interval=epochs + 1)
    momentum = dict(momentum=section.momentum) if section.optimizer == "SGD" else {}
    runnable.optim_wrapper = dict(
        type="AmpOptimWrapper" if section.amp else "OptimWrapper",
        optimizer=dict(type=section.optimizer, lr=section.lr, weight_decay=section.weight_decay, **momentum),
        clip_grad=dict(max_norm=section.grad_clip) if section.grad_clip else None,
    )
    if section.paramwise_cfg:
        runnable.optim_wrapper.paramwise_cfg = section.paramwise_cfg
    runnable.param_scheduler = []
    if warmup > 1:  # Of several steps the last has the whole rate.
        runnable.param_scheduler.append(dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=warmup))
    if milestones:
        runnable.param_scheduler.append(
            dict(type="MultiStepLR", by_epoch=True, begin=0, milestones=list(milestones), gamma=0.1)
        )


def _fuse_update(runnable: Config) -> None:
    """Update all weights by one kernel, if torch has one: a super-net has hundreds of small tensors.

    torch's kernel of SGD fails where a weight gets its first gradient later than others, as that of a dead path does.
    """
    optimizer = runnable.optim_wrapper.optimizer
    if optimizer.type != "SGD" and "fused" in inspect.signature(OPTIMIZERS.get(optimizer.type)).parameters:
        optimizer.fused = True


def _without_sections(config: Config) -> Config:
    """The config without our sections; raises InvalidConfigError if it asks mmengine to scale the learning rate."""
    if (config.get("auto_scale_lr") or {}).get("enable"):
        raise InvalidConfigError(
            f"{config.filename}: auto_scale_lr.enable: opanas does not scale learning rates; set the one for your "
            "batch size, and auto_scale_lr.enable=False"
        )
    runnable = copy.deepcopy(config)
    for name in STAGES:
        runnable.pop(name, None)
    return runnable


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
