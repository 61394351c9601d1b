"""Configs of detectors small enough to train in a test: 64×64 pixels, a narrow ResNet-18, a neck of width 8."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from mmengine.config import Config, ConfigDict
from torch import Tensor

from opanas_cli.detection.configs.building import build_detector
from opanas_cli.detection.configs.files import load_config
from opanas_cli.detection.exporting.detector_config import export_config
from opanas_cli.detection.quiet import silenced
from opanas_cli.genotype import Genotype

GENOTYPES = [
    Genotype.of(["top_down", "none", "bottom_up"]),
    Genotype.of(["scale_equalizing", "fusing_splitting", "skip_connect"]),
    Genotype.of(["none", "skip_connect", "none"]),
]
"""Of two nodes; together they have every path."""

TINY_OPTIONS = (
    "model.backbone.base_channels=8",
    "model.backbone.stem_channels=8",
    "model.neck.in_channels=[8,16,32,64]",
    "model.neck.out_channels=8",
    "model.neck.num_nodes=2",
    "model.neck.norm_cfg=None",
    "model.neck.output_norm_cfg=None",
    "model.rpn_head.in_channels=8",
    "model.rpn_head.feat_channels=8",
    "model.roi_head.bbox_roi_extractor.out_channels=8",
    "model.roi_head.bbox_head.in_channels=8",
    "model.roi_head.bbox_head.fc_out_channels=16",
    "supernet.image_scale=(64,64)",
    "supernet.batch_size=2",
    "supernet.search_split=0.4",
    "supernet.sampling=parameterised",
    "supernet.warmup_iters=0",
    "search.population=4",
    "search.generations=1",
    "search.top_k=2",
    "retrain.image_scale=(64,64)",
    "retrain.batch_size=4",
    "retrain.epochs=1",
    "retrain.milestones=[]",
    "retrain.warmup_iters=0",
    "cost_input=(64,64)",
)
"""What makes the shipped config `shapes` tiny, and its neck and sampling the paper's, as `--cfg-options` takes it."""


def options_of(detector: str, options: tuple[str, ...] = TINY_OPTIONS) -> tuple[str, ...]:
    """Those of `TINY_OPTIONS` that the detector has."""
    other = {"cascade-rcnn": "model.roi_head.bbox_head.", "retinanet": ("model.roi_head.", "model.rpn_head.")}
    return tuple(option for option in options if detector not in other or not option.startswith(other[detector]))


def tiny_config(root: Path, detector: str = "faster-rcnn", *options: str) -> Config:
    """A super-net's config on the data set in `root`, with any of the three detectors around the neck."""
    overrides = (*TINY_OPTIONS, f"data_root={root}", *options)
    config = load_config("shapes", overrides)
    if detector == "faster-rcnn":
        return config
    neck = config.model.neck
    overrides = options_of(detector, overrides)
    model = export_config(Genotype.of(["skip_connect"]), "shapes", detector=detector, overrides=overrides).model
    levels = {name: model.neck[name] for name in ("start_level", "extra_convs", "num_outs")}
    model.neck = ConfigDict({**neck, **levels})
    for head in model.roi_head.bbox_head if detector == "cascade-rcnn" else ():
        head["fc_out_channels"] = 16
    config.model = model
    return config


def sure_weights(config: Config) -> dict[str, Tensor]:
    """The weights of a detector that is sure of many things, right or wrong."""
    torch.manual_seed(0)
    with silenced():
        detector = build_detector(config)
        detector.init_weights()
    with torch.no_grad():
        for name, parameter in detector.named_parameters():
            if "offset" in name or "edge_importance" in name:
                parameter += 0.3 * torch.randn_like(parameter)
            elif ("cls" in name or "logits" in name) and parameter.ndim > 1:
                parameter.copy_(torch.randn_like(parameter) / math.sqrt(parameter[0].numel()))
            elif "cls" in name and name.endswith("bias"):
                parameter.zero_()
    return detector.state_dict()
