"""Exported configs: what they say, that they load again, and that they train."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from tiny_config import TINY_OPTIONS, options_of

from opanas_cli.detection.configs.baseline_necks import BASELINES
from opanas_cli.detection.configs.building import build_detector
from opanas_cli.detection.configs.files import load_config
from opanas_cli.detection.configs.necks import with_sub_net
from opanas_cli.detection.configs.parts import class_heads
from opanas_cli.detection.configs.stages import super_net_stage
from opanas_cli.detection.costs.profiling import detector_cost
from opanas_cli.detection.exporting.detector_config import (
    BACKBONES,
    DETECTORS,
    SCHEDULES,
    export_config,
    exported_text,
    standalone_config,
)
from opanas_cli.detection.quiet import silenced
from opanas_cli.detection.training.networks import sub_net_config, whole_config
from opanas_cli.detection.training.progress import ProgressHook
from opanas_cli.detection.training.runner import build_runner
from opanas_cli.errors import InvalidConfigError, OpanasError, UsageError
from opanas_cli.formats import resolve_genotype
from opanas_cli.genotype import Genotype

OPA_FPN = resolve_genotype("opa-fpn")
SMALL = Genotype.of(["top_down", "none", "bottom_up"])
LIGHT = ("r18", "r50")


def own_config(root: Path, folder: Path) -> Path:
    """A user's config file on the tiny data set."""
    file = folder / "own.py"
    file.write_text(load_config("shapes", (*TINY_OPTIONS, f"data_root={root}")).pretty_text)
    return file


def reload(config: Config, file: Path) -> Config:
    file.write_text(config.pretty_text)
    return load_config(str(file))


@pytest.mark.parametrize(
    ("detector", "backbone", "dataset"),
    [
        *((detector, backbone, "coco") for detector in DETECTORS for backbone in BACKBONES),
        *((detector, "r18", dataset) for detector in DETECTORS for dataset in ("voc", "own")),
    ],
)
def test_every_combination_is_a_detector(
    shapes_root: Path, tmp_path: Path, detector: str, backbone: str, dataset: str
) -> None:
    name = str(own_config(shapes_root, tmp_path)) if dataset == "own" else dataset
    config = export_config(OPA_FPN, name, detector=detector, backbone=backbone, channels=16)
    assert config.model.backbone.init_cfg.checkpoint.split("://")[0] in ("torchvision", "open-mmlab")
    assert {head["num_classes"] for head in class_heads(config.model)} == {dict(coco=80, voc=20, own=3)[dataset]}
    assert config.model.neck.genotype == [str(path) for path in OPA_FPN.paths]
    assert config.train_dataloader.dataset.type == ("ConcatDataset" if dataset == "voc" else "CocoDataset")
    # The large backbones take seconds to build, and no part of them knows the detector.
    if backbone in LIGHT or detector == "faster-rcnn":
        assert detector_cost(config, (64, 64)).macs > 0


def test_images_are_normalised_as_the_backbones_weights_were_trained(shapes_root: Path, tmp_path: Path) -> None:
    file = own_config(shapes_root, tmp_path)
    caffe = dict(mean=[103.53, 116.28, 123.675], std=[1.0, 1.0, 1.0], bgr_to_rgb=False)
    file.write_text(f"{file.read_text()}\nmodel['data_preprocessor'].update({caffe!r})\n")
    kept = export_config(SMALL, str(file), detector="retinanet").model.data_preprocessor
    assert {name: kept[name] for name in caffe} == caffe
    changed = export_config(SMALL, str(file), backbone="r18").model.data_preprocessor
    assert (changed.mean[0], changed.std[0], changed.bgr_to_rgb) == (123.675, 58.395, True)


def test_levels_are_of_a_backbone_that_begins_at_a_stride_of_four(shapes_root: Path, tmp_path: Path) -> None:
    file = str(own_config(shapes_root, tmp_path))
    later = ("model.backbone.out_indices=(1,2,3)", "model.neck.in_channels=[16,32,64]")
    for asked in (dict(detector="retinanet"), dict(backbone="r18"), dict(neck="nasfpn"), dict(neck="bfp", channels=8)):
        with pytest.raises(InvalidConfigError, match=r"has a stride of 4 pixels, but that of model\.backbone has 8"):
            export_config(SMALL, file, overrides=later, **asked)


@pytest.mark.parametrize("detector", list(DETECTORS))
def test_the_text_loads_again_and_trains(shapes_root: Path, tmp_path: Path, detector: str) -> None:
    options = (*options_of(detector), f"data_root={shapes_root}")
    config = export_config(SMALL, "shapes", detector=detector, overrides=options)
    again = reload(config, tmp_path / "exported.py")
    assert again.model == config.model
    assert again.train_dataloader == config.train_dataloader
    assert again.test_evaluator == config.test_evaluator

    if detector == "cascade-rcnn":
        # It drops anchors that reach over the border: at 64×64 all but the finest.
        again.model.train_cfg.rpn.allowed_border = -1
    again.update(work_dir=str(tmp_path / "work"), experiment_name=f"export-{detector}")
    torch.manual_seed(0)
    with silenced():
        runner = Runner.from_cfg(again)
        runner.model.init_weights()
    assert runner.model.neck.genotype == SMALL
    before = {name: parameter.detach().clone() for name, parameter in runner.model.neck.named_parameters()}
    loader = runner.build_dataloader(runner._train_dataloader)
    optimizer = runner.build_optim_wrapper(runner.optim_wrapper)
    losses = runner.model.train().train_step(next(iter(loader)), optimizer)
    assert losses["loss"].isfinite()
    trained = dict(runner.model.neck.named_parameters())
    assert not [name for name in before if torch.equal(before[name], trained[name])]


def test_settings_of_the_model_reach_the_detector_that_is_asked_for() -> None:
    overrides = ("model.test_cfg.rcnn.nms.type=soft_nms", "model.backbone.init_cfg=None")
    config = export_config(OPA_FPN, "coco", "cascade-rcnn", "r18", overrides=overrides)
    assert config.model.test_cfg.rcnn.nms == dict(type="soft_nms", iou_threshold=0.5)
    assert config.model.backbone.init_cfg is None
    stage = ("model.roi_head.bbox_head.2.loss_bbox.beta=0.5",)
    heads = export_config(OPA_FPN, "coco", "cascade-rcnn", overrides=stage).model.roi_head.bbox_head
    assert [head.loss_bbox.beta for head in heads] == [1.0, 1.0, 0.5]
    for detector, part in (("cascade-rcnn", "loss_bbox"), ("retinanet", "roi_head")):
        with pytest.raises(UsageError, match=f"model.roi_head.bbox_head.loss_bbox.beta: there is no '{part}' in a "):
            export_config(OPA_FPN, "coco", detector, overrides=("model.roi_head.bbox_head.loss_bbox.beta=0.5",))


def resizing(pipeline: list[Any]) -> Any:
    return next(step for step in pipeline if "Resize" in step["type"])


def test_multi_scale_training_is_the_papers() -> None:
    config = export_config(OPA_FPN, "coco", schedule="2x-ms")
    assert dict(resizing(config.train_dataloader.dataset.pipeline)) == dict(
        type="RandomResize", scale=[(1600, 400), (1600, 1400)], keep_ratio=True
    )
    assert dict(resizing(config.test_dataloader.dataset.pipeline)) == dict(
        type="Resize", scale=(1200, 900), keep_ratio=True
    )
    assert config.train_cfg.max_epochs == 24
    assert config.param_scheduler[-1]["milestones"] == [16, 22]
    assert config.param_scheduler[-1]["gamma"] == 0.1


def test_settings_given_beside_a_schedule_hold() -> None:
    given = ("retrain.epochs=3", "retrain.image_scale=(640,480)")
    config = export_config(OPA_FPN, "coco", schedule="2x-ms", overrides=given)
    assert config.train_cfg.max_epochs == 3
    assert resizing(config.test_dataloader.dataset.pipeline).scale == (640, 480)
    assert resizing(config.train_dataloader.dataset.pipeline).scale == [(1600, 400), (1600, 1400)]


@pytest.mark.parametrize("schedule", [None, "1x"])
def test_single_scale_training_is_the_papers(schedule: str | None) -> None:
    config = export_config(OPA_FPN, "coco", schedule=schedule)
    for dataloader in (config.train_dataloader, config.test_dataloader):
        assert resizing(dataloader.dataset.pipeline).scale == (1333, 800)
    assert config.train_cfg.max_epochs == 12
    assert config.param_scheduler[-1]["milestones"] == [8, 11]
    assert config.optim_wrapper.optimizer == dict(type="SGD", lr=0.02, momentum=0.9, weight_decay=1e-4)
    assert config.train_dataloader.batch_size == 16


def test_a_schedule_takes_back_what_another_set(shapes_root: Path, tmp_path: Path) -> None:
    file = own_config(shapes_root, tmp_path)
    one = export_config(SMALL, str(file), schedule="1x")
    assert one.train_cfg.max_epochs == SCHEDULES["1x"]["epochs"]
    assert resizing(one.train_dataloader.dataset.pipeline).type == "Resize"
    assert resizing(one.train_dataloader.dataset.pipeline).scale == (64, 64)
    assert one.optim_wrapper.optimizer.type == "AdamW"


def test_a_schedule_of_a_config_without_settings_is_the_papers(shapes_root: Path, tmp_path: Path) -> None:
    file = own_config(shapes_root, tmp_path)
    bare = load_config(str(file))
    bare.pop("retrain")
    file.write_text(bare.pretty_text)
    before = resizing(bare.train_dataloader.dataset.pipeline).scale
    one, several = (export_config(SMALL, str(file), schedule=schedule) for schedule in ("1x", "2x-ms"))
    assert one.optim_wrapper.optimizer == dict(type="SGD", lr=0.02, momentum=0.9, weight_decay=1e-4)
    assert resizing(one.train_dataloader.dataset.pipeline).scale == before
    assert resizing(several.train_dataloader.dataset.pipeline).scale == [(1600, 400), (1600, 1400)]
    assert resizing(several.test_dataloader.dataset.pipeline).scale == (1200, 900)


@pytest.mark.parametrize("dataset", ["shapes", "coco", "voc"])
def test_the_detector_is_the_one_that_retrain_trains(dataset: str) -> None:
    """Else the weights of `retrain` and `compare` would be refused as those of another model."""
    genotype = resolve_genotype("opa-fpn")
    assert export_config(genotype, dataset).model == sub_net_config(load_config(dataset), genotype).model
    with_importance = export_config(genotype, dataset, overrides=("model.neck.edge_importance=True",))
    inherited = sub_net_config(load_config(dataset), genotype, edge_importance=True)
    assert with_importance.model == inherited.model


def test_what_is_not_asked_for_is_the_data_sets(shapes_root: Path, tmp_path: Path) -> None:
    config = export_config(SMALL, str(own_config(shapes_root, tmp_path)))
    assert config.model.type == "FasterRCNN"
    assert config.model.backbone.base_channels == 8
    assert config.model.neck.out_channels == 8
    assert config.train_cfg.max_epochs == 1
    assert not {"supernet", "search", "retrain", "data_root"} & set(config)
    assert config.custom_imports.imports == ["opanas_cli.detection"]


def test_the_width_reaches_the_heads() -> None:
    config = export_config(OPA_FPN, "coco", detector="retinanet", channels=168)
    head = build_detector(config).bbox_head
    assert head.feat_channels == head.in_channels == 168
    assert config.model.neck.start_level == 1
    assert config.model.neck.extra_convs is True


@pytest.mark.parametrize("neck", BASELINES)
def test_other_necks_are_exported_at_equal_macs_or_at_a_width(shapes_root: Path, tmp_path: Path, neck: str) -> None:
    options = (*options_of("retinanet"), f"data_root={shapes_root}")
    given = dict(detector="retinanet", neck=neck, overrides=(*options, "cost_input=(128,128)"))
    wide = export_config(OPA_FPN, "shapes", channels=48, **given)
    pyramid = wide.model.neck[0] if neck == "bfp" else wide.model.neck
    assert pyramid.out_channels == wide.model.bbox_head.in_channels == 48
    again = whole_config(reload(wide, tmp_path / "exported.py"))
    assert again.model == wide.model
    macs = detector_cost(export_config(OPA_FPN, "shapes", **{**given, "neck": None})).macs
    assert detector_cost(export_config(OPA_FPN, "shapes", **given)).macs == pytest.approx(macs, rel=0.05)


def test_a_width_that_the_groups_of_a_norm_do_not_divide_is_refused(shapes_root: Path) -> None:
    plain = [option for option in TINY_OPTIONS if "norm_cfg" not in option]
    groups = [f"model.neck.{norm}.num_groups=4" for norm in ("norm_cfg", "output_norm_cfg")]
    options = (*plain, *groups, f"data_root={shapes_root}")
    for neck in ("fpn", None):
        assert (
            export_config(SMALL, "shapes", channels=12, neck=neck, overrides=options).model.rpn_head.in_channels == 12
        )
        with pytest.raises(UsageError, match="--channels: is 10, which the 4 groups of the neck's norm do not divide"):
            export_config(SMALL, "shapes", channels=10, neck=neck, overrides=options)


def test_a_contradicting_number_of_classes_is_refused(shapes_root: Path, tmp_path: Path) -> None:
    file = str(own_config(shapes_root, tmp_path))
    assert class_heads(export_config(SMALL, file, num_classes=3).model)[0]["num_classes"] == 3
    with pytest.raises(UsageError, match=r"--num-classes: is 5, but annotations/train\.json is read with 3 classes"):
        export_config(SMALL, file, num_classes=5)
    with pytest.raises(UsageError, match=r"--num-classes: is 3, but .*trainval\.txt is read with 20 classes"):
        export_config(SMALL, "voc", num_classes=3)
    cats = ("classes=[cat,dog]",)
    assert class_heads(export_config(SMALL, "coco", num_classes=2, overrides=cats).model)[0]["num_classes"] == 2


def test_an_exported_baseline_takes_a_genotype_again(shapes_root: Path, tmp_path: Path) -> None:
    """FPN's own settings do not stay under the new neck."""
    file = own_config(shapes_root, tmp_path)
    baseline = tmp_path / "fpn.py"
    baseline.write_text(exported_text(export_config(SMALL, str(file), neck="fpn", channels=16)))
    again, wanted = export_config(SMALL, str(baseline)), export_config(SMALL, str(file), channels=16)
    assert build_detector(again).neck.genotype == SMALL
    assert detector_cost(again) == detector_cost(wanted)


def test_configs_without_data_or_neck_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "bare.py"
    file.write_text("model = dict(type='RetinaNet', neck=dict(type='FPN'))")
    with pytest.raises(InvalidConfigError, match="has no train_dataloader"):
        export_config(SMALL, str(file))
    with pytest.raises(OpanasError, match=r"nothing\.py: no such config file"):
        export_config(SMALL, str(tmp_path / "nothing.py"))


@pytest.mark.parametrize(
    ("dataset", "expected"),
    [
        ("coco", [dict(type="CocoMetric", ann_file="data/coco/annotations/instances_val2017.json", metric="bbox")]),
        ("voc", [dict(type="VOCMetric", metric="mAP", eval_mode="11points")]),
    ],
)
def test_stand_alone_configs_measure_with_mmdets_metrics(dataset: str, expected: list[dict[str, Any]]) -> None:
    config = standalone_config(export_config(OPA_FPN, dataset), "some_neck")
    assert config.test_evaluator == config.val_evaluator == expected
    assert config.custom_imports.imports == ["some_neck"]
    assert "opanas" not in config.pretty_text
    assert "genotype" not in config.model.neck


def test_a_chain_is_exported_as_one(shapes_root: Path, tmp_path: Path) -> None:
    chain = Genotype.of(["top_down", "bottom_up", "scale_equalizing"], "chain")
    config = reload(export_config(chain, str(own_config(shapes_root, tmp_path))), tmp_path / "chain.py")
    assert build_detector(config).neck.genotype == chain


@pytest.mark.parametrize("detector", ["faster-rcnn", "retinanet"])
def test_learning_rate_and_validation(detector: str) -> None:
    for schedule in (None, "1x", "2x-ms"):
        exported = export_config(OPA_FPN, "coco", detector, schedule=schedule)
        assert exported.optim_wrapper.optimizer.lr == 0.02
        assert exported.train_cfg.val_interval == 1
    slower = export_config(OPA_FPN, "coco", detector, overrides=("retrain.lr=0.01",))
    assert slower.optim_wrapper.optimizer.lr == 0.01


@pytest.mark.parametrize("optimizer", ["SGD", "AdamW"])
@pytest.mark.parametrize("exported", [True, False], ids=["exported", "by genotype"])
def test_nothing_scales_the_learning_rate(shapes_root: Path, tmp_path: Path, optimizer: str, exported: bool) -> None:
    options = (*TINY_OPTIONS, f"data_root={shapes_root}", f"retrain.optimizer={optimizer}", "retrain.lr=0.003")
    if exported:
        file = tmp_path / "winner.py"
        file.write_text(exported_text(export_config(SMALL, "shapes", overrides=options)))
        stage = whole_config(load_config(str(file), ["train_dataloader.batch_size=1"]))
    else:
        stage = sub_net_config(load_config("shapes", (*options, "retrain.batch_size=1")), SMALL)
    runner = build_runner(stage, tmp_path, 0, torch.device("cpu"), False, ProgressHook(None))
    wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    runner.scale_lr(wrapper, runner.auto_scale_lr)
    assert stage.train_dataloader.batch_size == 1
    assert (type(wrapper.optimizer).__name__, {group["lr"] for group in wrapper.optimizer.param_groups}) == (
        optimizer,
        {0.003},
    )


@pytest.mark.parametrize("given", [None, dict(enable=False, base_batch_size=16)])
def test_exported_configs_say_that_nothing_scales_the_learning_rate(
    shapes_root: Path, tmp_path: Path, given: Any
) -> None:
    file = own_config(shapes_root, tmp_path)
    file.write_text(file.read_text() + f"\nauto_scale_lr = {given}\n")
    assert export_config(SMALL, str(file)).auto_scale_lr == dict(enable=False, base_batch_size=4)


@pytest.mark.parametrize(
    "read",
    [
        lambda file, config: export_config(SMALL, file),
        lambda file, config: sub_net_config(config, SMALL),
        lambda file, config: whole_config(with_sub_net(config, SMALL)),
        lambda file, config: super_net_stage(config, 0),
    ],
    ids=["export", "retrain by genotype", "retrain exported", "train-supernet"],
)
def test_configs_that_scale_the_learning_rate_are_refused(shapes_root: Path, tmp_path: Path, read: Any) -> None:
    file = own_config(shapes_root, tmp_path)
    file.write_text(file.read_text() + "\nauto_scale_lr = dict(enable=True, base_batch_size=16)\n")
    with pytest.raises(InvalidConfigError, match=r"auto_scale_lr.enable: opanas does not .*auto_scale_lr.enable=False"):
        read(str(file), load_config(str(file)))
