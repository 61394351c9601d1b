"""The size of images in every kind of resizing: it is set, and nothing else changes."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from mmdet.registry import TRANSFORMS
from mmengine.config import Config
from mmengine.registry import DefaultScope

from opanas_cli.detection.configs.image_scale import set_image_scale
from opanas_cli.detection.configs.stages import search_dataset, super_net_stage
from opanas_cli.errors import InvalidConfigError

SCALE = (96, 64)
SCALES = [(48, 32), (96, 64)]
KEPT = dict(keep_ratio=False, interpolation="nearest", clip_object_border=False)
LOAD = dict(type="LoadImageFromFile")


def with_pipeline(*pipeline: Any, wrap: Any = lambda dataset: dataset) -> Config:
    dataset = dict(type="CocoDataset", ann_file="a.json", pipeline=[LOAD, *copy.deepcopy(pipeline)])
    test = dict(type="CocoDataset", ann_file="b.json", pipeline=[LOAD, dict(type="Resize", scale=(9, 9), **KEPT)])
    return Config(
        dict(
            model=dict(neck=dict(type="OPASuperNet")),
            train_dataloader=dict(dataset=wrap(dataset)),
            val_dataloader=dict(dataset=test),
            test_dataloader=None,
        )
    )


def train_pipeline(config: Config) -> list[Any]:
    dataset = config.train_dataloader.dataset
    while "pipeline" not in dataset:
        dataset = dataset["dataset"] if "dataset" in dataset else dataset["datasets"][-1]
    return dataset.to_dict()["pipeline"][1:]


RESIZINGS: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any] | None]] = [
    (dict(type="Resize", scale=(9, 9)), dict(type="Resize", scale=SCALE), dict(type="RandomResize", scale=SCALES)),
    (dict(type="Resize", scale_factor=0.5), dict(type="Resize", scale=SCALE), dict(type="RandomResize", scale=SCALES)),
    (
        dict(type="mmdet.FixScaleResize", scale=9),
        dict(type="mmdet.FixScaleResize", scale=SCALE),
        dict(type="RandomResize", scale=SCALES, resize_type="mmdet.FixScaleResize"),
    ),
    (
        dict(type="RandomResize", scale=[(8, 8), (9, 9)]),
        dict(type="RandomResize", scale=SCALE, ratio_range=(1.0, 1.0)),
        dict(type="RandomResize", scale=SCALES),
    ),
    (
        dict(type="RandomResize", scale=(9, 9), ratio_range=(0.1, 2.0)),
        dict(type="RandomResize", scale=SCALE, ratio_range=(0.1, 2.0)),
        dict(type="RandomResize", scale=SCALES),
    ),
    (
        dict(type="RandomChoiceResize", scales=[(8, 8), (9, 9)], resize_type="FixScaleResize"),
        dict(type="RandomChoiceResize", scales=[SCALE], resize_type="FixScaleResize"),
        dict(type="RandomResize", scale=SCALES, resize_type="FixScaleResize"),
    ),
    (dict(type="FixShapeResize", width=9, height=9), dict(type="FixShapeResize", width=96, height=64), None),
]


@pytest.mark.parametrize(("given", "one", "several"), RESIZINGS)
def test_every_resizing_is_set_and_keeps_its_other_settings(given: Any, one: Any, several: Any) -> None:
    config = with_pipeline({**given, **KEPT})
    set_image_scale(config, SCALE)
    assert train_pipeline(config) == [{**one, **KEPT}]
    with DefaultScope.overwrite_default_scope("mmdet"):
        resize = TRANSFORMS.build(train_pipeline(config)[0])
    image = resize(dict(img=np.zeros((30, 30, 3), dtype=np.uint8)))["img"]
    if "ratio_range" not in given:
        assert image.shape == (64, 96, 3)

    config = with_pipeline({**given, **KEPT})
    if several is None:
        with pytest.raises(InvalidConfigError, match="train_dataloader: train_scales cannot be set: FixShapeResize"):
            set_image_scale(config, SCALE, SCALES)
        return
    set_image_scale(config, SCALE, SCALES)
    assert train_pipeline(config) == [{**several, **KEPT}]
    with DefaultScope.overwrite_default_scope("mmdet"):
        resize = TRANSFORMS.build(train_pipeline(config)[0])
    height, width, _ = resize(dict(img=np.zeros((30, 30, 3), dtype=np.uint8)))["img"].shape
    assert 32 <= height <= 64
    assert 48 <= width <= 96
    assert config.val_dataloader.dataset.pipeline[1] == dict(type="Resize", scale=SCALE, **KEPT)


@pytest.mark.parametrize(
    "nest",
    [
        lambda resize: dict(type="RandomChoice", transforms=[[resize], [dict(type="RandomFlip"), resize]]),
        lambda resize: dict(type="RandomApply", transforms=[resize], prob=1.0),
        lambda resize: dict(type="TransformBroadcaster", transforms=[dict(type="Compose", transforms=[resize])]),
        lambda resize: dict(type="MultiBranch", branch_field=["sup"], branch_pipelines=dict(sup=[resize])),
    ],
    ids=["choice", "apply", "broadcast", "branches"],
)
def test_nested_transforms_are_set(nest: Any) -> None:
    config = with_pipeline(nest(dict(type="RandomChoiceResize", scales=[(9, 9)], **KEPT)))
    set_image_scale(config, SCALE)
    assert train_pipeline(config) == [nest(dict(type="RandomChoiceResize", scales=[SCALE], **KEPT))]


RESIZE = dict(type="Resize", scale=(9, 9))
SIZED = dict(type="RandomSizedCrop", height=9, width=9)
WRAPPERS = [
    lambda dataset: dict(type="RepeatDataset", times=2, dataset=dataset),
    lambda dataset: dict(type="ConcatDataset", datasets=[copy.deepcopy(dataset), dataset]),
    lambda dataset: dict(type="ClassBalancedDataset", dataset=dict(type="ConcatDataset", datasets=[dataset])),
]


@pytest.mark.parametrize("wrap", WRAPPERS)
def test_wrapped_data_sets_are_set(wrap: Any) -> None:
    config = with_pipeline(RESIZE, wrap=wrap)
    set_image_scale(config, SCALE)
    assert "(9, 9)" not in str(config.train_dataloader)
    assert train_pipeline(config) == [dict(type="Resize", scale=SCALE)]


def test_the_pipeline_of_a_wrapper_may_resize_for_those_inside() -> None:
    config = with_pipeline(wrap=lambda dataset: dict(type="MultiImageMixDataset", dataset=dataset, pipeline=[RESIZE]))
    set_image_scale(config, SCALE)
    assert config.train_dataloader.dataset.pipeline == [dict(type="Resize", scale=SCALE)]


@pytest.mark.parametrize(
    ("pipeline", "said"),
    [
        ([], "images are not resized"),
        ([dict(type="RandomFlip")], "images are not resized"),
        ([dict(type="ResizeShortestEdge", scale=9), RESIZE], "ResizeShortestEdge has sizes of its own"),
        ([dict(type="Mosaic"), RESIZE], "Mosaic has sizes of its own"),
        ([RESIZE, dict(type="CachedMixUp")], "CachedMixUp has sizes of its own"),
        ([dict(type="MyPyramid", img_scale=(1, 1)), RESIZE], "MyPyramid has sizes of its own"),
        ([dict(type="Albu", transforms=[dict(type="LongestMaxSize")]), RESIZE], "LongestMaxSize in Albu has sizes of"),
        ([dict(type="Albu", transforms=[dict(type="OneOf", transforms=[SIZED])]), RESIZE], "RandomSizedCrop in Albu"),
        ([dict(type="RandomApply", transforms=[dict(type="MyResize")])], "MyResize has sizes of its own"),
        ([RESIZE, dict(type="Pad", size=(9, 9))], "Pad has sizes of its own"),
        ([RESIZE, dict(type="RandomCenterCropPad", crop_size=(9, 9))], "RandomCenterCropPad has sizes of its own"),
        ([dict(type="RandomApply", transforms=[RESIZE])], "images are not resized"),
        ([dict(type="RandomChoice", transforms=[[RESIZE], [dict(type="RandomFlip")]])], "images are not resized"),
        ([dict(type="MultiBranch", branch_pipelines=dict(sup=[RESIZE], unsup=[LOAD]))], "images are not resized"),
    ],
)
def test_what_cannot_be_set_is_named(pipeline: Any, said: str) -> None:
    with pytest.raises(InvalidConfigError, match=f"train_dataloader: image_scale cannot be set: {said}"):
        set_image_scale(with_pipeline(*pipeline), SCALE)


def test_one_of_several_data_sets_without_resizing_is_named() -> None:
    bare = dict(type="CocoDataset", ann_file="c.json", pipeline=[LOAD])
    config = with_pipeline(RESIZE, wrap=lambda dataset: dict(type="ConcatDataset", datasets=[bare, dataset]))
    with pytest.raises(InvalidConfigError, match="images are not resized"):
        set_image_scale(config, SCALE)


@pytest.mark.parametrize("augment", [dict(type="BatchSyncRandomResize"), dict(type="BatchFixedSizePad", size=(9, 9))])
@pytest.mark.parametrize("nested", [True, False])
def test_sizes_of_whole_batches_are_named(nested: bool, augment: Any) -> None:
    model: dict[str, Any] = dict(data_preprocessor=dict(batch_augments=[augment]))
    config = with_pipeline(RESIZE)
    config.model = dict(detector=model) if nested else model
    with pytest.raises(InvalidConfigError, match=f"{augment['type']} has sizes of its own"):
        set_image_scale(config, SCALE)


def test_the_pipeline_that_a_hook_switches_to_is_set_too() -> None:
    config = with_pipeline(RESIZE)
    switch = dict(type="PipelineSwitchHook", switch_epoch=2, switch_pipeline=[LOAD, dict(RESIZE, keep_ratio=True)])
    config.custom_hooks = [dict(type="EMAHook"), switch]
    set_image_scale(config, SCALE)
    resize = dict(type="Resize", scale=SCALE, keep_ratio=True)
    assert config.custom_hooks == [dict(type="EMAHook"), dict(switch, switch_pipeline=[LOAD, resize])]
    set_image_scale(config, SCALE, SCALES)
    assert config.custom_hooks[1].switch_pipeline[1] == dict(resize, type="RandomResize", scale=SCALES)
    config.custom_hooks[1].switch_pipeline = [LOAD]
    with pytest.raises(InvalidConfigError, match="images are not resized after PipelineSwitchHook"):
        set_image_scale(config, SCALE)


def test_other_transforms_and_no_scale_leave_all_as_it_is() -> None:
    others = [dict(type="Albu", transforms=[dict(type="Blur")]), dict(type="InstaBoost", scale=(0.8, 1.2))]
    config = with_pipeline(*others, dict(type="Pad", size=None, size_divisor=9), RESIZE)
    before = config.to_dict()
    set_image_scale(config, None)
    assert config.to_dict() == before
    set_image_scale(config, SCALE)
    assert train_pipeline(config)[:-1] == [*others, dict(type="Pad", size=None, size_divisor=9)]
    set_image_scale(config, None, SCALES)
    assert train_pipeline(config)[-1] == dict(type="RandomResize", scale=SCALES)
    assert config.val_dataloader.dataset.pipeline[1]["scale"] == SCALE


def test_only_what_a_stage_reads_must_be_settable() -> None:
    mosaic = with_pipeline(dict(type="Mosaic"), RESIZE)
    mosaic.supernet = dict(image_scale=SCALE)
    assert search_dataset(mosaic, 0.1, None).dataset.pipeline[1] == dict(type="Resize", scale=SCALE, **KEPT)
    with pytest.raises(InvalidConfigError, match="Mosaic has sizes of its own"):
        super_net_stage(mosaic, 0)
    untested = with_pipeline(RESIZE)
    untested.supernet = dict(image_scale=SCALE)
    untested.val_dataloader.dataset.pipeline = []
    assert train_pipeline(super_net_stage(untested, 0)) == [dict(type="Resize", scale=SCALE)]
