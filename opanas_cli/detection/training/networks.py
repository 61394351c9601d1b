"""The configs of full trainings: the detector of a genotype, its baseline, or a config with a neck of its own."""

from __future__ import annotations

from pathlib import Path

import torch
from mmengine.config import Config
from torch import nn

from opanas_cli.detection.checkpoints import load_weights
from opanas_cli.detection.configs.building import build_detector
from opanas_cli.detection.configs.necks import is_super_net, super_net_neck, with_sub_net
from opanas_cli.detection.configs.stages import retrain_stage
from opanas_cli.detection.costs.widths import baseline_at_macs
from opanas_cli.detection.quiet import silenced
from opanas_cli.detection.super_net_file import super_net_of_sub_nets
from opanas_cli.errors import InvalidConfigError
from opanas_cli.genotype import Genotype
from opanas_cli.necks.super_net import inherited_state_dict


def sub_net_config(config: Config, genotype: Genotype, edge_importance: bool = False) -> Config:
    """The config that trains one genotype with the detector, data and `retrain` settings of a super-net's config.

    Raises InvalidConfigError if the config's neck is not a super-net.
    """
    super_net_neck(config)
    return retrain_stage(with_sub_net(config, genotype, edge_importance=edge_importance))


def inherited_weights(config: Config, genotype: Genotype, super_net: Path) -> dict[str, torch.Tensor]:
    """The weights of the stand-alone detector of a genotype, taken from a trained super-net.

    Raises InvalidCheckpointError if the file is not a super-net of this config and its classes, or is a mixture;
    InvalidGenotypeError if the genotype is not of the super-net's space.
    """
    content = super_net_of_sub_nets(config, super_net)
    with silenced():
        detector: nn.Module = build_detector(config)
    load_weights(detector, content.get("state_dict"), super_net)
    neck = inherited_state_dict(detector.neck, genotype)
    rest = {name: value for name, value in detector.state_dict().items() if not name.startswith("neck.")}
    return {**rest, **{f"neck.{name}": value for name, value in neck.items()}}


def baseline_config(config: Config, genotype: Genotype, neck: str = "fpn") -> Config:
    """The config that trains a neck of `BASELINES` at the MACs of a genotype's detector, all else as `sub_net_config`.

    Raises InvalidConfigError if the config's neck is not a super-net, InfeasibleError if no width comes within 5 %.
    """
    super_net_neck(config)
    return retrain_stage(baseline_at_macs(config, genotype, neck))


def whole_config(config: Config) -> Config:
    """A config that names its own neck, as `opanas export` writes it.

    Validation between epochs, which such configs have for mmdet's own tools, is left out: the test split decides.
    Raises InvalidConfigError if the neck is a super-net, of which one genotype must be chosen.
    """
    if is_super_net(config):
        raise InvalidConfigError(f"{config.filename}: its neck is a super-net; choose a genotype with --genotype")
    runnable = retrain_stage(config)
    epochs = runnable.train_cfg.get("max_epochs")
    if epochs:
        runnable.train_cfg.val_interval = epochs + 1
    return runnable
