"""Detectors of many families, from mmdet's own configs, made small enough to train in a test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from tiny_config import tiny_config

from opanas_cli.detection.configs.files import load_config
from opanas_cli.detection.configs.other_data import on_data_of

WIDTH = 32
"""That of every pyramid."""

FAMILIES = {
    "fcos": "mmdet::fcos_r50-caffe_fpn_gn-head_1x_coco",
    "atss": "mmdet::atss_r50_fpn_1x_coco",
    "gfl": "mmdet::gfl_r50_fpn_1x_coco",
    "tood": "mmdet::tood_r50_fpn_1x_coco",
    "rtmdet": "mmdet::rtmdet_tiny_8xb32-300e_coco",
    "rtmdet-ins": "mmdet::rtmdet-ins_tiny_8xb32-300e_coco",
    "pafpn": "mmdet::faster-rcnn_r50_pafpn_1x_coco",
    "mask-rcnn": "mmdet::mask-rcnn_r50_fpn_1x_coco",
    "cascade-mask-rcnn": "mmdet::cascade-mask-rcnn_r50_fpn_1x_coco",
    "sparse-rcnn": "mmdet::sparse-rcnn_r50_fpn_1x_coco",
    "deformable-detr": "mmdet::deformable-detr_r50_16xb2-50e_coco",
    "dino": "mmdet::dino-4scale_r50_8xb2-12e_coco",
}
WITH_MASKS = ("mask-rcnn", "cascade-mask-rcnn", "rtmdet-ins")

# By its key or by its value, what a setting of the heads becomes.
_BY_KEY = {
    "num_feats": WIDTH // 2,
    "num_layers": 1,
    "num_queries": 12,
    "num_proposals": 12,
    "max_per_img": 12,
    "num_convs": 1,
}
_BY_VALUE = {256: WIDTH, 96: WIDTH, 1024: 2 * WIDTH, 2048: 2 * WIDTH}


def tiny_detector(family: str) -> Config:
    """The config of a detector with its own neck of width 32 on a narrow backbone."""
    config = load_config(FAMILIES[family])
    model = config.model
    for name, part in model.items():
        if name not in ("backbone", "neck", "data_preprocessor"):
            model[name] = _shrunk(part, name)
    if family in ("fcos", "atss", "gfl", "tood"):  # 32 groups of one channel are zero on a level of one pixel.
        model.bbox_head.norm_cfg = dict(type="GN", num_groups=4)
    if family in ("deformable-detr", "dino"):
        model.bbox_head.embed_dims = WIDTH
        model.neck.norm_cfg.num_groups = 4
    if family.startswith("rtmdet"):
        model.backbone.update(widen_factor=0.125, init_cfg=None)
        model.neck.update(in_channels=[32, 64, 128], out_channels=WIDTH)
        return config
    levels = model.backbone.out_indices
    norm = dict(type="BN", requires_grad=True)
    model.backbone = ConfigDict(
        type="ResNet", depth=18, base_channels=8, stem_channels=8, out_indices=levels, norm_cfg=norm
    )
    model.neck.update(in_channels=[8 * 2**level for level in levels], out_channels=WIDTH)
    return config


def tiny_detector_on(root: Path, family: str) -> Config:
    """The same on the data set in `root`, with the sections of the stages."""
    return on_data_of(tiny_detector(family), tiny_config(root))


def _shrunk(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        return ConfigDict({name: _shrunk(part, name) for name, part in value.items()})
    if isinstance(value, list):
        return [_shrunk(part) if isinstance(part, dict) else part for part in value]
    if key in _BY_KEY:
        return _BY_KEY[key]
    return _BY_VALUE.get(value, value) if isinstance(value, int) and key != "nms_pre" else value


def with_octagons(root: Path, target: Path) -> Path:
    """The data set in `root` with a mask for each box: what is left of it without its corners."""
    (target / "annotations").mkdir(parents=True)
    for split in ("train", "val"):
        document = json.loads((root / "annotations" / f"{split}.json").read_text())
        for annotation in document["annotations"]:
            x, y, width, height = annotation["bbox"]
            steps = ((0.3, 0), (0.7, 0), (1, 0.3), (1, 0.7), (0.7, 1), (0.3, 1), (0, 0.7), (0, 0.3))
            corners = [side for across, down in steps for side in (x + across * width, y + down * height)]
            annotation["segmentation"] = [corners]
        (target / "annotations" / f"{split}.json").write_text(json.dumps(document))
        (target / split).symlink_to(root / split)
    return target
