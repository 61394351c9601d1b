"""Genotypes as mmdet configs: a detector, a backbone, a data set and a schedule around the neck."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict

from opanas_cli.detection.configs.building import require_finest_stride
from opanas_cli.detection.configs.data_checks import dataset_classes
from opanas_cli.detection.configs.files import OF_MMDET, load_config, parse_overrides, read_config, shipped_configs
from opanas_cli.detection.configs.necks import is_ours, is_super_net, with_sub_net
from opanas_cli.detection.configs.other_data import on_data_of
from opanas_cli.detection.configs.parts import DATALOADERS, class_heads, each_dataset, each_evaluator
from opanas_cli.detection.configs.replaced_neck import with_super_net
from opanas_cli.detection.configs.sections import section_of
from opanas_cli.detection.configs.stages import retrain_stage
from opanas_cli.detection.costs.widths import baseline_at_macs, of_width, set_width, width_step, with_baseline
from opanas_cli.detection.data.annotation_files import image_folder, source_of, voc_names
from opanas_cli.detection.data.voc_folder import ImagesByStem
from opanas_cli.detection.exporting.standalone import CLASS_NAME
from opanas_cli.errors import InvalidConfigError, InvalidDataError, UsageError
from opanas_cli.genotype import Genotype
from opanas_cli.suggestions import suggestion

DETECTORS = {
    "faster-rcnn": "mmdet::_base_/models/faster-rcnn_r50_fpn.py",
    "cascade-rcnn": "mmdet::_base_/models/cascade-rcnn_r50_fpn.py",
    "retinanet": "mmdet::_base_/models/retinanet_r50_fpn.py",
}


def _backbone(kind: str, depth: int, checkpoint: str, **more: Any) -> dict[str, Any]:
    return dict(
        type=kind,
        depth=depth,
        num_stages=4,
        out_indices=(0, 1, 2, 3),
        frozen_stages=1,
        norm_cfg=dict(type="BN", requires_grad=True),
        norm_eval=True,
        style="pytorch",
        init_cfg=dict(type="Pretrained", checkpoint=checkpoint),
        **more,
    )


IMAGENET = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True)
"""How the images were normalised that the weights of all `BACKBONES` were trained on."""

OURS = ("VOCFolder", "YOLOFolder", "CocoPart")
"""Data sets that mmdet does not have."""

_DCN = dict(dcn=dict(type="DCN", deform_groups=1, fallback_on_stride=False), stage_with_dcn=(False, True, True, True))
BACKBONES: dict[str, dict[str, Any]] = {
    "r18": _backbone("ResNet", 18, "torchvision://resnet18"),
    "r50": _backbone("ResNet", 50, "torchvision://resnet50"),
    "r101": _backbone("ResNet", 101, "torchvision://resnet101"),
    "x101-64x4d": _backbone("ResNeXt", 101, "open-mmlab://resnext101_64x4d", groups=64, base_width=4),
    "res2net101-dcn": _backbone("Res2Net", 101, "open-mmlab://res2net101_v1d_26w_4s", scales=4, base_width=26, **_DCN),
}
"""The backbones of the paper's tables, as mmdet names and loads them."""

SCHEDULES: dict[str, dict[str, Any]] = {
    "1x": dict(epochs=12, milestones=(8, 11), train_scales=None),
    "2x-ms": dict(epochs=24, milestones=(16, 22), train_scales=((1600, 400), (1600, 1400)), image_scale=(1200, 900)),
}
"""Section 4.1.3: one scale for 12 epochs, or shorter sides from 400 to 1400 pixels for 24, tested as in Table 1."""


def export_config(
    genotype: Genotype,
    dataset: str | None = None,
    detector: str | None = None,
    backbone: str | None = None,
    channels: int | None = None,
    num_classes: int | None = None,
    schedule: str | None = None,
    neck: str | None = None,
    overrides: tuple[str, ...] = (),
) -> Config:
    """The mmengine config that trains a detector with a genotype from scratch, with a pyramid of so many channels.

    The detector is one of `DETECTORS`, or any whose neck `with_super_net` can replace, by its config. The data is that
    of `dataset`, ``coco``, ``voc`` or a config, and so is whatever the other arguments leave open; without it, that of
    the detector's own config with its schedule, or of ``coco`` if that has no data. `neck`, one of `BASELINES`, takes
    the genotype's place, without `channels` at the MACs of the genotype's detector.
    Raises UsageError if `num_classes` or `channels` contradict the config, or an override is of a part that the
    detector does not have, InvalidConfigError if that config has no neck or no data, InfeasibleError if no width of
    `neck` has these MACs.
    """
    if detector is None or detector in DETECTORS:
        config = load_config(dataset or "coco", overrides)
    else:
        config = _other_detector(detector, dataset, backbone, schedule, overrides)
    for part in ("train_dataloader", "test_dataloader"):
        if not config.get(part):
            raise InvalidConfigError(f"{config.filename}: has no {part}; give --dataset a config with data")
    if config.model.get("neck") and not is_ours(config):
        config = with_super_net(config, for_search=False)
    if detector in DETECTORS or backbone:
        config.model = _detector_model(config, detector, backbone)
        _override_model(config, overrides)
    if channels:
        if channels % (groups := width_step(config)):
            raise UsageError(f"--channels: is {channels}, which the {groups} groups of the neck's norm do not divide")
        config.model = of_width(config, channels).model
    if num_classes is not None:
        _set_num_classes(config, num_classes)
    if schedule:
        given = parse_overrides(overrides)
        changes = {name: value for name, value in SCHEDULES[schedule].items() if f"retrain.{name}" not in given}
        config.retrain = ConfigDict(asdict(replace(section_of(config, "retrain"), **changes)))
    exported = retrain_stage(_with_neck(config, genotype, neck, channels, parse_overrides(overrides)))
    exported.custom_imports = _importing_opanas(config)
    if config.get("retrain"):
        exported.train_cfg.val_interval = 1
        exported.auto_scale_lr = dict(enable=False, base_batch_size=int(exported.train_dataloader.batch_size))
    for key in ("data_root", "split"):  # Its data sets have them.
        exported.pop(key, None)
    return exported


def _other_detector(
    detector: str, dataset: str | None, backbone: str | None, schedule: str | None, overrides: tuple[str, ...]
) -> Config:
    """The config of any detector, with a super-net in its neck's place, on other data if asked for."""
    is_file = Path(detector).suffix or detector.startswith(OF_MMDET)
    if not is_file and detector not in shipped_configs():
        hint = suggestion(detector, DETECTORS, "give a config file, or mmdet::NAME for one of mmdet's")
        raise UsageError(f"--detector: '{detector}' is not one of {', '.join(DETECTORS)} and not a config; {hint}")
    if backbone:
        raise UsageError(f"--backbone: {detector} has its own; set it by --cfg-options model.backbone.KEY=VALUE")
    of_neck = tuple(override for override in overrides if override.startswith("model.neck."))
    of_model = tuple(override for override in overrides if override.startswith("model.") and override not in of_neck)
    of_data = tuple(override for override in overrides if not override.startswith("model."))
    own = load_config(detector, of_model)
    if dataset is None and own.get("train_dataloader"):
        if schedule and not own.get("retrain"):
            raise UsageError(f"--schedule: {detector} has its own; leave it out, or choose other data with --dataset")
        config = load_config(detector, (*of_model, *of_data))
    else:
        config = on_data_of(own, load_config(dataset or "coco", of_data))
    changed = with_super_net(config, for_search=False)
    changed.merge_from_dict(parse_overrides(of_neck))
    return changed


def _importing_opanas(config: Config) -> dict[str, Any]:
    imports = (config.get("custom_imports") or {}).get("imports", [])
    return dict(imports=list(dict.fromkeys([*imports, "opanas_cli.detection"])), allow_failed_imports=False)


def standalone_config(config: Config, module: str) -> Config:
    """An exported config that names the neck in `module`, and otherwise mmdet's parts only; see `exported_text`.

    Raises InvalidDataError if mmdet's data sets cannot read the images.
    """
    changed = copy.deepcopy(config)
    others = [name for name in changed.custom_imports["imports"] if name != "opanas_cli.detection"]
    changed.custom_imports = dict(imports=[*others, module], allow_failed_imports=False)
    neck = {key: value for key, value in changed.model.neck.items() if key != "genotype"}
    changed.model.neck = ConfigDict({**neck, "type": CLASS_NAME})
    for loader in DATALOADERS:
        for dataset in each_dataset(changed.get(loader)):
            if dataset["type"] == "VOCFolder" and source_of(dataset).is_file() and "part" not in dataset:
                _require_jpg(dataset)
                dataset["type"] = "XMLDataset"
            elif dataset["type"] in OURS:
                raise InvalidDataError(
                    f"{source_of(dataset)}: mmdet alone reads COCO's files, and VOC's with lists of images, of "
                    "each split, and these are neither; convert them, or export without --standalone"
                )
    for split in ("val", "test"):
        evaluators = each_evaluator(changed, split)
        others = [evaluator for evaluator in evaluators if evaluator["type"] != "DetectionAP"]
        dataset = next(iter(each_dataset(changed.get(f"{split}_dataloader"))), {})
        changed[f"{split}_evaluator"] = others or [_mmdet_evaluator(evaluator, dataset) for evaluator in evaluators]
    return changed


NOT_SCALED = """\
# The learning rate is used as it is, whatever the batch size and the number of processes are. Only if
# tools/train.py of mmdet is given --auto-scale-lr, it is scaled by the images of a step.
"""

# mmengine compiles a config under its path. Of {{ fileDirname }} a quote in the path would end the string.
# Of a config with an import statement, mmengine 0.10.7 takes all names for lazy ones.
FIND_NECK = """\
# The neck is in the folder of this file.
__import__("sys").path.insert(0, __import__("os").path.dirname(__import__("sys")._getframe().f_code.co_filename))
"""

# mmcv 1 imports a copy of a config, but replaces this in it before. Afterwards it takes the first folder off the path.
FIND_NECK_IN_MMDET2 = """\
__import__("sys").path.insert(1, r'''{{ fileDirname }}''')  # The neck is there.
"""


def exported_text(config: Config, standalone: bool = False, mmdet2: bool = False) -> str:
    """The text of an exported config.

    A stand-alone one finds the neck in the config's own folder, wherever it is run from.
    """
    find = FIND_NECK_IN_MMDET2 if mmdet2 else FIND_NECK
    return "\n".join([NOT_SCALED, *([find] if standalone else []), config.pretty_text])


def _require_jpg(dataset: Any) -> None:
    folder = image_folder(dataset)
    images = ImagesByStem(folder)
    others = [image for image in map(images.__getitem__, voc_names(source_of(dataset))) if image[-4:] != ".jpg"]
    if others:
        raise InvalidDataError(
            f"{folder / others[0]}: mmdet alone reads the images of a VOC folder as .jpg only, and {len(others)} are "
            "not; convert them, or export without --standalone"
        )


def _mmdet_evaluator(evaluator: Any, dataset: Any) -> Any:
    """mmdet's metric in place of ours, independent of opanas."""
    if evaluator.get("ann_file"):
        path = str(Path(evaluator.get("data_root") or "", evaluator["ann_file"]))
        has_masks = any(step.get("with_mask") for step in dataset.get("pipeline") or ())
        return dict(type="CocoMetric", ann_file=path, metric=["bbox", "segm"] if has_masks else "bbox")
    is_2007 = "VOC2007" in str((dataset.get("data_prefix") or {}).get("sub_data_root"))
    return dict(type="VOCMetric", metric="mAP", eval_mode="11points" if is_2007 else "area")


def _with_neck(
    config: Config, genotype: Genotype, neck: str | None, channels: int | None, given: Mapping[str, Any]
) -> Config:
    if neck is None:
        # γ is the super-net's: `opanas retrain` trains none alone either.
        leaves_out = is_super_net(config) and "model.neck.edge_importance" not in given
        return with_sub_net(config, genotype, **({"edge_importance": False} if leaves_out else {}))
    return with_baseline(config, neck, channels) if channels else baseline_at_macs(config, genotype, neck)


def _detector_model(config: Config, detector: str | None, backbone: str | None) -> Any:
    """The model of a config with another detector or another backbone, its width and its classes kept.

    Images are normalised as the backbone's weights were trained.
    """
    require_finest_stride(config, f"--{'backbone' if detector is None else 'detector'}")
    old = config.model
    model = copy.deepcopy(old) if detector is None else read_config(DETECTORS[detector]).model
    neck = copy.deepcopy(old.neck)
    if detector is not None:
        model.neck = neck
        set_width(model, neck["out_channels"])
        for head in class_heads(model):
            head["num_classes"] = class_heads(old)[0]["num_classes"]
        model.backbone = copy.deepcopy(old.backbone)
        if "data_preprocessor" in old:
            model.data_preprocessor = copy.deepcopy(old.data_preprocessor)
        is_retina = detector == "retinanet"
        neck.update(start_level=1 if is_retina else 0, extra_convs=is_retina, num_outs=5)
    if backbone is not None:
        model.backbone = ConfigDict(copy.deepcopy(BACKBONES[backbone]))
        model.setdefault("data_preprocessor", ConfigDict(type="DetDataPreprocessor")).update(IMAGENET)
        wide = BACKBONES[backbone]["depth"] > 34
        model.neck["in_channels"] = [256, 512, 1024, 2048] if wide else [64, 128, 256, 512]
    return model


def _override_model(config: Config, overrides: tuple[str, ...]) -> None:
    """Apply those of the model again, to the one that took its place; UsageError if it has no such part."""
    for key, value in parse_overrides(overrides).items():
        if not key.startswith("model."):
            continue
        part: Any = config.model
        for name in key.split(".")[1:-1]:
            entries = dict(enumerate(part)) if isinstance(part, list) else part
            part = entries.get(int(name) if isinstance(part, list) and name.isdecimal() else name)
            if not isinstance(part, (dict, list)):
                raise UsageError(f"--cfg-options: {key}: there is no '{name}' in a {config.model.type}; leave it out")
        config.merge_from_dict({key: value})


def _set_num_classes(config: Config, count: int) -> None:
    for dataset in each_dataset(config.train_dataloader):
        classes = dataset_classes(dataset)
        if classes and len(classes) != count:
            raise UsageError(
                f"--num-classes: is {count}, but {dataset['ann_file']} is read with {len(classes)} classes; choose "
                "them with --cfg-options classes=…"
            )
    for head in class_heads(config.model):
        head["num_classes"] = count
