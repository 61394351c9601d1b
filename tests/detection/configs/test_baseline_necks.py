"""The necks of others: in every detector, trained, normalised as the genotype's neck is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.runner import Runner
from tiny_config import tiny_config
from torch import nn

from opanas_cli.commands.common.options import NECKS
from opanas_cli.detection.configs.baseline_necks import BASELINES
from opanas_cli.detection.configs.building import build_detector
from opanas_cli.detection.configs.necks import with_sub_net
from opanas_cli.detection.costs.profiling import detector_cost
from opanas_cli.detection.costs.widths import set_width, with_baseline
from opanas_cli.detection.quiet import silenced
from opanas_cli.detection.training.networks import baseline_config
from opanas_cli.errors import InvalidConfigError
from opanas_cli.formats import resolve_genotype
from opanas_cli.genotype import Genotype

DETECTORS = ("faster-rcnn", "cascade-rcnn", "retinanet")
# Of 128 pixels: the coarsest level of NAS-FPN in RetinaNet is pooled to a 128th of the image.
LARGER = ("retrain.image_scale=(128,128)", "retrain.batch_size=2", "cost_input=(128,128)")
CHOSEN = Genotype.of(["top_down", "bottom_up", "fusing_splitting"])
GROUP_NORM = dict(type="GN", num_groups=4)


def test_the_commands_know_every_neck() -> None:
    assert list(BASELINES) == list(NECKS)


@pytest.mark.parametrize("detector", DETECTORS)
@pytest.mark.parametrize("name", BASELINES)
def test_every_neck_trains_in_every_detector_at_the_macs_of_a_genotype(
    shapes_root: Path, tmp_path: Path, detector: str, name: str
) -> None:
    config = tiny_config(shapes_root, detector, *LARGER)
    # Wide enough that one channel more or less does not matter much.
    set_width(config.model, 48 if name == "nasfpn" else 24)
    config.model.neck.norm_cfg = dict(type="GN", num_groups=1)
    stage = baseline_config(config, CHOSEN, name)
    macs = detector_cost(with_sub_net(config, CHOSEN)).macs
    assert detector_cost(stage).macs == pytest.approx(macs, rel=0.05)
    if detector == "cascade-rcnn":
        stage.model.train_cfg.rpn.allowed_border = -1  # It drops anchors that reach over the border.
    stage.update(work_dir=str(tmp_path), experiment_name=f"{detector}-{name}")
    torch.manual_seed(0)
    with silenced():
        runner = Runner.from_cfg(stage)
        runner.model.init_weights()
    loader = runner.build_dataloader(runner._train_dataloader)
    before = {key: value.detach().clone() for key, value in runner.model.neck.named_parameters()}
    losses = runner.model.train().train_step(next(iter(loader)), runner.build_optim_wrapper(stage.optim_wrapper))
    assert losses["loss"].isfinite()
    # Balanced FPN's attention starts as nothing: a norm whose weights are zero lets through no gradient.
    still = [key for key, value in runner.model.neck.named_parameters() if torch.equal(before[key], value)]
    assert [key for key in still if ".refine." not in key] == []


@pytest.mark.parametrize("detector", ["faster-rcnn", "retinanet"])
@pytest.mark.parametrize("name", BASELINES)
def test_levels_are_those_of_the_fpn(shapes_root: Path, detector: str, name: str) -> None:
    config = tiny_config(shapes_root, detector, *LARGER)
    fpn, neck = (build_detector(with_baseline(config, each, 8)).eval() for each in ("fpn", name))
    image = torch.randn(1, 3, 128, 256)
    with torch.no_grad():
        assert [level.shape for level in neck.extract_feat(image)] == [level.shape for level in fpn.extract_feat(image)]


def convolutions_and_norms(name: str, shapes_root: Path, **options: Any) -> tuple[int, int]:
    """How many convolutions a neck has, depthwise ones left out, and how many norms."""
    config = tiny_config(shapes_root)
    config.model.neck.update(options)
    modules = list(build_detector(with_baseline(config, name, 8)).neck.modules())
    convs = [module for module in modules if isinstance(module, nn.Conv2d) and module.groups == 1]
    return len(convs), sum(isinstance(module, nn.GroupNorm) for module in modules)


@pytest.mark.parametrize("name", ["fpn", "pafpn", "nasfpn", "bifpn"])
def test_norms_are_those_of_the_genotypes_neck(shapes_root: Path, name: str) -> None:
    convs, none = convolutions_and_norms(name, shapes_root)
    assert none == 0
    assert convolutions_and_norms(name, shapes_root, norm_cfg=GROUP_NORM)[1] == convs
    assert convolutions_and_norms(name, shapes_root, output_norm_cfg=GROUP_NORM)[1] > 0


def test_balanced_fpn_refines_p4_and_normalises_what_attention_adds(shapes_root: Path) -> None:
    for detector, level in (("faster-rcnn", 2), ("retinanet", 1)):
        config = tiny_config(shapes_root, detector)
        config.model.neck.norm_cfg = GROUP_NORM
        _, refining = build_detector(with_baseline(config, "bfp", 8)).neck
        assert refining.refine_level == level
        assert isinstance(refining.refine.conv_out.norm, nn.GroupNorm)


def test_sepc_is_the_shipped_genotype(shapes_root: Path) -> None:
    config = tiny_config(shapes_root)
    config.model.neck.update(norm_cfg=GROUP_NORM, edge_importance=True)
    neck = build_detector(with_baseline(config, "sepc", 12)).neck
    assert neck.genotype == resolve_genotype("sepc")
    assert neck.edge_importance is None
    assert any(isinstance(module, nn.GroupNorm) for module in neck.modules())


def test_nas_fpn_sees_images_whose_levels_halve_evenly(shapes_root: Path) -> None:
    for detector, stride in (("faster-rcnn", 64), ("retinanet", 128)):
        config = tiny_config(shapes_root, detector, *LARGER)
        assert with_baseline(config, "nasfpn", 8).model.data_preprocessor.pad_size_divisor == stride
        assert with_baseline(config, "fpn", 8).model.data_preprocessor.pad_size_divisor == 32
    config.cost_input = (128, 64)
    with pytest.raises(InvalidConfigError, match=r"stride of 128 pixels, but cost_input is \(128, 64\); make it as"):
        with_baseline(config, "nasfpn", 8)
    config.model.neck.num_outs = 4
    with pytest.raises(InvalidConfigError, match=r"nasfpn: has 5 output levels, but model\.neck\.num_outs is 4"):
        with_baseline(config, "nasfpn", 8)
