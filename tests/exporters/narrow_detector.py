"""Detectors that are small enough to be exported in seconds, and their export."""

from __future__ import annotations

from pathlib import Path

import torch

from opanas_cli.commands import run
from opanas_cli.detection.checkpoints import write_checkpoint
from opanas_cli.detection.configs.building import build_detector
from opanas_cli.detection.exporting.detector_config import export_config
from opanas_cli.formats import resolve_genotype

NARROW = (
    "model.backbone.base_channels=8",
    "model.backbone.stem_channels=8",
    "model.neck.in_channels=[8,16,32,64]",
    "model.neck.out_channels=8",
    "model.neck.deformable=True",
)
GENOTYPE = "none|td,skip|fs,bu,se\n"
"""All information paths, in few enough convolutions to be exported in seconds."""


def trained(genotype: Path, detector: str, folder: Path) -> tuple[torch.nn.Module, Path]:
    """A detector with weights that move the offsets, and its checkpoint as `retrain` writes it."""
    config = export_config(resolve_genotype(genotype), "shapes", detector=detector, overrides=NARROW)
    torch.manual_seed(0)
    model = build_detector(config).eval().requires_grad_(False)
    for parameter in model.neck.parameters():
        parameter += 0.05 * torch.randn_like(parameter)
    weights = folder / "detector.pth"
    write_checkpoint({"state_dict": model.state_dict(), "meta": {"config": config.pretty_text}}, weights)
    return model, weights


def export(form: str, genotype: Path, output: Path, detector: str, *more: object) -> int:
    options = ["--to", form, "--dataset", "shapes", "--detector", detector, "-o", output, *more]
    return run(["export", str(genotype), *map(str, options), "--cfg-options", *NARROW])
