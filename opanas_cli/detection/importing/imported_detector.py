"""A released checkpoint as a detector of ours: its weights, and the config that they belong to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmdet.registry import MODELS
from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from opanas_cli import __version__
from opanas_cli.detection.checkpoints import read_checkpoint, tensors_of
from opanas_cli.detection.configs.building import build_detector
from opanas_cli.detection.configs.data_checks import dataset_classes
from opanas_cli.detection.configs.files import load_config, read_config
from opanas_cli.detection.configs.parts import required_datasets
from opanas_cli.detection.exporting.detector_config import BACKBONES, DETECTORS, export_config
from opanas_cli.detection.importing.released_names import released_weights
from opanas_cli.detection.quiet import silenced
from opanas_cli.errors import InvalidCheckpointError, InvalidGenotypeError
from opanas_cli.genotype import Genotype, SpaceKind

LATERAL = "neck.lateral_convs.0.conv.weight"
HEADS = {
    "faster-rcnn": "roi_head.bbox_head.fc_cls.weight",
    "cascade-rcnn": "roi_head.bbox_head.0.fc_cls.weight",
    "retinanet": "bbox_head.retina_cls.weight",
}
"""A weight by which each of `DETECTORS` is recognised."""


@dataclass(frozen=True)
class ImportedDetector:
    """A detector read from a released checkpoint.

    Args:
        config: the config that `opanas retrain` and mmdet's own tools take.
        content: our checkpoint of it.
        facts: the detector, the backbone (None: the data set's), the channels of the pyramid and the number of tensors.
        unused: names in the file that no computation uses.
        differences: for each weight that does not fit a line with its name; if there is one, `content` is of no use.
    """

    config: Config
    content: dict[str, Any]
    facts: dict[str, Any]
    unused: list[str]
    differences: list[str]


def import_detector(path: Path, genotype: Genotype, dataset: str, overrides: tuple[str, ...] = ()) -> ImportedDetector:
    """Read a checkpoint of a released detector. What kind it is its weights tell, but not which genotype.

    Raises InvalidCheckpointError if the file cannot be read or is no detector with such a neck, InvalidGenotypeError
    if the genotype is a chain, and what `export_config` raises.

    Args:
        dataset: a config's name or file: the data of the config, and the detector and backbone if the weights fit it.
    """
    if genotype.space is not SpaceKind.DENSE:
        raise InvalidGenotypeError("the released neck is dense, but the genotype is a chain; give a dense one")
    content = read_checkpoint(path)
    state = tensors_of(content.get("state_dict", content), path)
    detector = next((name for name, weight in HEADS.items() if weight in state), None)
    if detector is None or LATERAL not in state or not state[LATERAL].dim():
        wanted = f"'{LATERAL}' and one of {', '.join(map(repr, HEADS.values()))}"
        raise InvalidCheckpointError(f"{path}: is not a detector with the released neck: it needs {wanted}")
    settings = load_config(dataset, overrides)
    is_own = read_config(DETECTORS[detector]).model.type == settings.model.get("type")
    backbone, channels = _backbone(settings, state), len(state[LATERAL])
    config = export_config(genotype, dataset, None if is_own else detector, backbone, channels, overrides=overrides)
    found = released_weights(state, genotype)
    config.model.neck = ConfigDict(
        {name: value for name, value in config.model.neck.items() if name not in ("norm_cfg", "act_cfg")},
        output_norm_cfg=None,
        deformable=True,
        share_fusing=found.share_fusing,
    )
    with torch.device("meta"), silenced():
        own = build_detector(config).state_dict()
    differences = [f"{name}: has no counterpart in the released neck" for name in found.unknown]
    differences += _differences(own, found.weights, found.origins)
    classes = list(dataset_classes(required_datasets(config, "train")[0]))
    meta = {"opanas_version": __version__, "config": config.pretty_text, "dataset_meta": {"classes": classes}}
    weights = {name: found.weights[name] for name in own if name in found.weights}
    facts = {"detector": detector, "backbone": backbone, "channels": channels, "tensors": len(weights)}
    return ImportedDetector(config, {"state_dict": weights, "meta": meta}, facts, found.unused, differences)


def _backbone(settings: Config, state: Mapping[str, Tensor]) -> str | None:
    """The backbone whose weights differ the least: one of `BACKBONES`, or None if it is the config's own."""
    weights = {name: value for name, value in state.items() if name.startswith("backbone.")}
    number = {}
    for name, config in {None: settings.model.backbone, **BACKBONES}.items():
        with torch.device("meta"), silenced(), DefaultScope.overwrite_default_scope("mmdet"):
            backbone: nn.Module = MODELS.build({**config, "init_cfg": None})
        own = {f"backbone.{key}": value for key, value in backbone.state_dict().items()}
        number[name] = len(_differences(own, weights))
    return min(number, key=number.__getitem__)


def _differences(
    own: Mapping[str, Tensor], weights: Mapping[str, Tensor], origins: Mapping[str, str] | None = None
) -> list[str]:
    """A line for each name or shape in which weights differ from a network's own, by the names of their origins."""
    lines = []
    for name, value in weights.items():
        origin = (origins or {}).get(name, name)
        if name not in own:
            lines.append(f"{origin}: is not in the detector")
        elif own[name].shape != value.shape:
            lines.append(f"{origin}: has shape {tuple(value.shape)}, but the detector's {tuple(own[name].shape)}")
    return lines + [f"{name}: is missing" for name in own if name not in weights]
