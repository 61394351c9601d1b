"""Genotypes in detectors that are given as configs."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
from mmengine.config import Config
from tiny_config import tiny_config
from tiny_detectors import FAMILIES, tiny_detector, tiny_detector_on, with_octagons

from opanas_cli.commands import run
from opanas_cli.detection.configs.data_checks import check_data
from opanas_cli.detection.configs.files import load_config
from opanas_cli.detection.configs.necks import with_sub_net
from opanas_cli.detection.configs.other_data import on_data_of
from opanas_cli.detection.configs.parts import class_heads, dicts_in
from opanas_cli.detection.configs.replaced_neck import with_super_net
from opanas_cli.detection.configs.stages import retrain_stage
from opanas_cli.detection.costs.profiling import detector_cost, detector_profile
from opanas_cli.detection.costs.widths import of_width, width_step
from opanas_cli.detection.exporting.detector_config import export_config, standalone_config
from opanas_cli.errors import InvalidConfigError, InvalidDataError, UsageError
from opanas_cli.genotype import Genotype

SMALL = Genotype.of(["top_down", "none", "bottom_up"])


def file_of(config: Config, folder: Path) -> str:
    file = folder / "detector.py"
    file.write_text(config.pretty_text)
    return str(file)


def test_without_other_data_a_detector_keeps_its_own_and_its_schedule(tmp_path: Path) -> None:
    own = tiny_detector("fcos")
    exported = export_config(SMALL, None, file_of(own, tmp_path))
    for name in (
        "train_dataloader",
        "test_evaluator",
        "train_cfg",
        "optim_wrapper",
        "param_scheduler",
        "auto_scale_lr",
    ):
        assert exported[name] == own[name], name
    assert exported.model.bbox_head == own.model.bbox_head
    assert exported.model.neck.type == "OPAFPN"
    assert exported.custom_imports.imports == ["opanas_cli.detection"]
    with pytest.raises(UsageError, match=r"--schedule: .* has its own"):
        export_config(SMALL, None, file_of(own, tmp_path), schedule="1x")


def test_on_other_data_the_heads_have_its_classes_and_the_schedule_is_the_datas(
    shapes_root: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data.py"
    data.write_text(tiny_config(shapes_root).pretty_text)
    options = ("retrain.lr=0.25", "model.bbox_head.stacked_convs=1", "model.neck.deformable=False")
    exported = export_config(SMALL, str(data), file_of(tiny_detector("fcos"), tmp_path), overrides=options)
    assert exported.model.bbox_head.num_classes == 3
    assert exported.model.bbox_head.stacked_convs == 1
    assert exported.model.neck.deformable is False
    assert exported.optim_wrapper.optimizer.lr == 0.25
    assert exported.train_dataloader.dataset.data_root == str(shapes_root)


@pytest.mark.parametrize(("family", "masks"), [("fcos", None), ("rtmdet-ins", True), ("mask-rcnn", True)])
def test_masks_are_loaded_if_the_detector_learns_them(shapes_root: Path, family: str, masks: bool | None) -> None:
    config = tiny_detector_on(shapes_root, family)
    for name in ("train_dataloader", "val_dataloader", "test_dataloader"):
        steps = [step for step in dicts_in(config[name]) if step.get("type") == "LoadAnnotations"]
        assert [step.get("with_mask") for step in steps] == [masks]
    assert {head["num_classes"] for head in class_heads(config.model)} == {3}
    assert "batch_augments" not in config.model.data_preprocessor
    config.model.neck = with_super_net(config, for_search=False).model.neck
    evaluator = standalone_config(retrain_stage(with_sub_net(config, SMALL)), "neck").test_evaluator[0]
    assert evaluator["metric"] == (["bbox", "segm"] if masks else "bbox")


def test_what_other_data_lacks_is_refused(voc_root: Path) -> None:
    voc = load_config("custom-small", (f"data_root={voc_root}",))
    with pytest.raises(InvalidDataError, match=r"train\.txt: has boxes only, but .* learns masks"):
        on_data_of(tiny_detector("mask-rcnn"), voc)
    with pytest.raises(InvalidConfigError, match="learns from semantic maps"):
        on_data_of(load_config("mmdet::panoptic-fpn_r50_fpn_1x_coco"), voc)


def test_masks_that_are_missing_in_the_annotations_are_named(shapes_root: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidDataError, match=r"train\.json: annotations\[0\]: has no segmentation"):
        check_data(tiny_detector_on(shapes_root, "mask-rcnn"), ["train"], warn=pytest.fail)
    root = with_octagons(shapes_root, tmp_path / "data")
    check_data(tiny_detector_on(root, "mask-rcnn"), ["train", "val"], warn=pytest.fail)


def test_other_necks_at_equal_macs_keep_the_groups_of_the_heads(shapes_root: Path, tmp_path: Path) -> None:
    data = tmp_path / "data.py"
    data.write_text(tiny_config(shapes_root).pretty_text)
    own = tiny_detector("fcos")
    own.model.bbox_head.norm_cfg.num_groups = 2
    exported = export_config(SMALL, str(data), file_of(own, tmp_path), neck="fpn")
    assert width_step(exported) == 2
    assert exported.model.neck.type == "FPN"
    assert exported.model.neck.out_channels % 2 == 0
    alone = export_config(SMALL, str(data), file_of(own, tmp_path))
    assert detector_cost(exported).macs == pytest.approx(detector_cost(alone).macs, rel=0.05)


def test_masks_have_multiply_adds_and_the_width_of_the_pyramid(tmp_path: Path) -> None:
    config = export_config(SMALL, None, file_of(tiny_detector("mask-rcnn"), tmp_path))
    wider = of_width(config, 48)
    assert wider.model.roi_head.mask_head.in_channels == wider.model.roi_head.mask_roi_extractor.out_channels == 48
    without = copy.deepcopy(config)
    del without.model.roi_head["mask_head"]
    costs = [detector_profile(one, (64, 64))["heads"].macs for one in (without, config, wider)]
    assert costs[0] < costs[1] < costs[2]


@pytest.mark.parametrize(("family", "part"), [("deformable-detr", "(en|de)coder"), ("sparse-rcnn", "rpn_head")])
def test_the_width_of_parts_that_are_not_known_is_left_alone(tmp_path: Path, family: str, part: str) -> None:
    config = export_config(SMALL, None, file_of(tiny_detector("deformable-detr"), tmp_path))
    assert of_width(config, 32).model == config.model
    with pytest.raises(
        InvalidConfigError, match=r"model\.(en|de)coder: opanas cannot change its width, .* must stay 32"
    ):
        of_width(config, 64)


@pytest.mark.parametrize(
    ("options", "code", "line"),
    [
        (["--detector", "retinanett"], 2, "'retinanett' is not one of faster-rcnn, cascade-rcnn, retinanet and not a"),
        (["--detector", "mmdet::fcos_r51"], 3, "mmdet::fcos_r51: mmdet has no such config"),
        (["--detector", FAMILIES["fcos"], "--backbone", "r18"], 2, "--backbone: mmdet::fcos_r50-caffe"),
        (["--detector", "mmdet::tridentnet_r50-caffe_1x_coco"], 3, "model.neck is missing"),
    ],
)
def test_wrong_detectors_are_one_line(refused: Callable[..., str], options: list[str], code: int, line: str) -> None:
    assert line in refused(code, "export", "opa-fpn", "--to", "mmdet-config", *options)


def test_mmdet2_has_only_the_papers_detectors(refused: Callable[..., str], tmp_path: Path) -> None:
    options = ["--detector", FAMILIES["rtmdet"], "-o", tmp_path / "old.py"]
    assert "must be one of faster-rcnn" in refused(2, "export", "opa-fpn", "--to", "mmdet2-config", *options)


def test_a_config_without_a_backbone_is_one_line(refused: Callable[..., str]) -> None:
    line = refused(3, "profile", "mmdet::soft_teacher/soft-teacher_faster-rcnn_r50-caffe_fpn_180k_semi-0.1-coco")
    assert line.endswith("model.backbone is missing; give the config of a detector with a backbone, a neck and heads")


def test_a_config_that_has_a_super_net_keeps_it() -> None:
    config = with_super_net(load_config("shapes"), num_nodes=4)
    assert config.model.neck == {**load_config("shapes").model.neck, "num_nodes": 4}


def test_the_command_writes_a_config_that_loads(tmp_path: Path) -> None:
    file = tmp_path / "winner.py"
    detector = file_of(tiny_detector("rtmdet"), tmp_path)
    assert run(["export", "opa-fpn", "--to", "mmdet-config", "--detector", detector, "-o", str(file)]) == 0
    neck = load_config(str(file)).model.neck
    assert (neck.type, neck.in_channels, neck.out_channels, neck.num_outs) == ("OPAFPN", [32, 64, 128], 32, 3)
