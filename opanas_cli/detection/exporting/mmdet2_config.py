"""Exported configs in the language of mmdet 2.28: other keys for data, schedule and pipelines, the same for models."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

from mmengine.config import Config

from opanas_cli.detection.configs.parts import inner_datasets
from opanas_cli.errors import InvalidConfigError

Settings = dict[str, Any]


def mmdet2_config(standalone: Config) -> Config:
    """A stand-alone config of mmdet 3 as one of mmdet 2, which trains and tests the same.

    Raises InvalidConfigError if it uses what this does not translate.
    """
    old = copy.deepcopy(standalone.to_dict())
    model, prepared = old["model"], old["model"].pop("data_preprocessor")
    for key, value in (("custom_hooks", old), ("accumulative_counts", old["optim_wrapper"])):
        if value.get(key):
            raise InvalidConfigError(f"{key}: is not translated to mmdet 2; leave it out")
    loss_sampler = (model.get("train_cfg") or {}).get("sampler") or {}
    if loss_sampler.get("type") == "PseudoSampler":  # mmdet 2 takes it where there is none.
        del model["train_cfg"]["sampler"]
    train, tests = old["train_dataloader"], {split: old[f"{split}_dataloader"] for split in ("val", "test")}
    data = {split: _dataset(loader["dataset"], prepared, True) for split, loader in tests.items()}
    evaluators = [evaluator["type"] for evaluator in old["val_evaluator"]]
    metric = {"CocoMetric": "bbox", "VOCMetric": "mAP"}.get(evaluators[0] if len(evaluators) == 1 else "")
    if metric is None:
        raise InvalidConfigError(f"val_evaluator: {evaluators} has no counterpart in mmdet 2; use CocoMetric alone")
    return Config(
        dict(
            custom_imports=old["custom_imports"],
            model=model,
            data=dict(
                samples_per_gpu=train["batch_size"],
                workers_per_gpu=train["num_workers"],
                train=_dataset(train["dataset"], prepared, False),
                **data,
            ),
            evaluation=dict(interval=1, metric=metric),
            **_schedule(old),
            checkpoint_config=dict(interval=1, max_keep_ckpts=2),
            log_config=dict(interval=50, hooks=[dict(type="TextLoggerHook")]),
            dist_params=dict(backend="nccl"),
            log_level="INFO",
            load_from=old.get("load_from"),
            resume_from=None,
            workflow=[("train", 1)],
            auto_scale_lr=dict(enable=False, base_batch_size=train["batch_size"]),
        )
    )


def _schedule(old: Settings) -> Settings:
    wrapper, epochs = old["optim_wrapper"], old["train_cfg"]["max_epochs"]
    lr: Settings = dict(policy="fixed")
    for scheduler in old["param_scheduler"]:
        settings = dict(scheduler)
        kind = settings.pop("type")
        if kind == "LinearLR" and not settings["by_epoch"] and settings["begin"] == 0:
            lr.update(warmup="linear", warmup_iters=settings["end"], warmup_ratio=settings["start_factor"])
        elif kind == "MultiStepLR" and settings["by_epoch"]:
            lr.update(policy="step", step=settings["milestones"], gamma=settings["gamma"])
        else:
            raise InvalidConfigError(f"param_scheduler: {kind} is not translated; use a section `retrain`")
    amp = dict(fp16=dict(loss_scale="dynamic")) if wrapper["type"] == "AmpOptimWrapper" else {}
    paramwise = dict(paramwise_cfg=wrapper["paramwise_cfg"]) if wrapper.get("paramwise_cfg") else {}
    return dict(
        optimizer={**wrapper["optimizer"], **paramwise},
        optimizer_config=dict(grad_clip=wrapper.get("clip_grad")),
        lr_config=lr,
        runner=dict(type="EpochBasedRunner", max_epochs=epochs),
        **amp,
    )


def _dataset(dataset: Settings, prepared: Mapping[str, Any], is_test: bool) -> Settings:
    kind = dataset["type"]
    if inner := inner_datasets(dataset):
        if kind == "ConcatDataset":
            return dict(type=kind, datasets=[_dataset(part, prepared, is_test) for part in inner])
        if kind == "RepeatDataset":
            return dict(type=kind, times=dataset["times"], dataset=_dataset(inner[0], prepared, is_test))
    elif kind in ("CocoDataset", "VOCDataset", "XMLDataset"):
        prefix = dataset.get("data_prefix") or {}
        classes = (dataset.get("metainfo") or {}).get("classes")
        steps = _test_pipeline if is_test else _train_pipeline
        return dict(
            type=kind,
            ann_file=dataset["ann_file"],
            data_root=dataset.get("data_root") or None,
            img_prefix=prefix.get("img", prefix.get("sub_data_root", "")),
            pipeline=steps(dataset["pipeline"], prepared),
            filter_empty_gt=(dataset.get("filter_cfg") or {}).get("filter_empty_gt", False),
            **(dict(classes=list(classes)) if classes else {}),
        )
    raise InvalidConfigError(f"the data set {kind} is not translated to mmdet 2; use CocoDataset or a VOC folder")


def _resize(step: Settings) -> Settings:
    return dict(type="Resize", img_scale=step["scale"], keep_ratio=step.get("keep_ratio", False))


def _random_resize(step: Settings) -> Settings:
    ratios = dict(ratio_range=step["ratio_range"]) if step.get("ratio_range") else {}
    return dict(_resize(step), multiscale_mode="range", **ratios)


def _random_choice_resize(step: Settings) -> Settings:
    return dict(_resize(dict(step, scale=step["scales"])), multiscale_mode="value")


STEPS: dict[str, Callable[[Settings], Settings]] = {
    "LoadImageFromFile": lambda step: dict(type="LoadImageFromFile"),
    "LoadAnnotations": lambda step: dict(type="LoadAnnotations", with_bbox=True),
    "FilterAnnotations": lambda step: dict(step),
    "Resize": _resize,
    "RandomResize": _random_resize,
    "RandomChoiceResize": _random_choice_resize,
    "RandomFlip": lambda step: dict(
        type="RandomFlip", flip_ratio=step["prob"], direction=step.get("direction", "horizontal")
    ),
}
"""Each step of mmdet 3's pipelines that is translated, and its translation."""


def _steps(pipeline: list[Settings]) -> list[Settings]:
    for step in pipeline:
        if step["type"] not in (*STEPS, "PackDetInputs"):
            raise InvalidConfigError(f"pipeline: the step {step['type']} is not translated to mmdet 2; leave it out")
    return [STEPS[step["type"]](step) for step in pipeline if step["type"] in STEPS]


def _normalised(prepared: Mapping[str, Any]) -> list[Settings]:
    """What the data preprocessor does to an image, as steps."""
    mean, std = prepared.get("mean") or [0, 0, 0], prepared.get("std") or [1, 1, 1]
    return [
        dict(type="Normalize", mean=mean, std=std, to_rgb=prepared.get("bgr_to_rgb", False)),
        dict(type="Pad", size_divisor=prepared.get("pad_size_divisor", 1)),
    ]


def _train_pipeline(pipeline: list[Settings], prepared: Mapping[str, Any]) -> list[Settings]:
    collect = dict(type="Collect", keys=["img", "gt_bboxes", "gt_labels"])
    return [*_steps(pipeline), *_normalised(prepared), dict(type="DefaultFormatBundle"), collect]


def _test_pipeline(pipeline: list[Settings], prepared: Mapping[str, Any]) -> list[Settings]:
    steps = [step for step in _steps(pipeline) if step["type"] not in ("LoadAnnotations", "FilterAnnotations")]
    resize = next(step for step in steps if step["type"] == "Resize")
    bare = dict(type="Resize", keep_ratio=resize["keep_ratio"])
    transforms = [bare, dict(type="RandomFlip"), *_normalised(prepared)]
    transforms += [dict(type="ImageToTensor", keys=["img"]), dict(type="Collect", keys=["img"])]
    once = dict(type="MultiScaleFlipAug", img_scale=resize["img_scale"], flip=False, transforms=transforms)
    return [dict(type="LoadImageFromFile"), once]
