from __future__ import annotations

import copy
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.config import Config
from tiny_config import tiny_config
from torch.nn import GroupNorm

from opanas_cli.detection.configs.building import build_detector
from opanas_cli.detection.configs.files import load_config
from opanas_cli.detection.configs.necks import with_sub_net
from opanas_cli.detection.costs.profiling import CostModel, detector_cost
from opanas_cli.detection.costs.widths import at_macs, set_width, width_step, with_baseline
from opanas_cli.errors import InfeasibleError
from opanas_cli.formats import resolve_genotype
from opanas_cli.genotype import PAPER_PATHS, Genotype, PathType
from opanas_cli.genotype.liveness import output_nodes


def fpn_of_macs(config: Config, macs: int) -> Config:
    return at_macs(macs, partial(with_baseline, config, "fpn"), "FPN", width_step(config))


@pytest.mark.parametrize("detector", ["faster-rcnn", "cascade-rcnn", "retinanet"])
def test_the_width_reaches_every_part_on_the_pyramid(shapes_root: Path, detector: str) -> None:
    config = copy.deepcopy(with_sub_net(tiny_config(shapes_root, detector), Genotype.of(["top_down"])))
    set_width(config.model, 12)
    model = build_detector(config).to("meta")
    if detector == "retinanet":
        assert model.bbox_head.cls_convs[0].conv.weight.shape == (12, 12, 3, 3)
        assert model.bbox_head.retina_reg.weight.shape[1] == 12
    else:
        assert model.rpn_head.rpn_conv.weight.shape == (12, 12, 3, 3)
        heads = model.roi_head.bbox_head
        for head in heads if detector == "cascade-rcnn" else [heads]:
            assert head.shared_fcs[0].in_features == 12 * 7 * 7
    assert model.neck.input_pyramid.context.weight.shape[0] == 12


@pytest.mark.parametrize("detector", ["faster-rcnn", "cascade-rcnn", "retinanet"])
def test_the_fpn_is_mmdets_with_all_else_kept(shapes_root: Path, detector: str) -> None:
    config = with_sub_net(tiny_config(shapes_root, detector), Genotype.of(["top_down"]))
    changed = with_baseline(config, "fpn", 12)
    model = build_detector(changed)
    assert type(model.neck).__module__ == "mmdet.models.necks.fpn"
    assert model.neck.start_level == (1 if detector == "retinanet" else 0)
    assert model.neck.add_extra_convs == ("on_input" if detector == "retinanet" else False)
    assert model.neck.num_outs == 5
    assert changed.model.backbone == config.model.backbone
    assert changed.train_dataloader == config.train_dataloader
    assert config.model.neck.type == "OPAFPN"


@pytest.mark.parametrize("detector", ["faster-rcnn", "retinanet"])
def test_an_fpn_of_equal_macs_is_found(shapes_root: Path, detector: str) -> None:
    # Wide enough that one channel more or less does not matter much.
    config = tiny_config(shapes_root, detector)
    set_width(config.model, 24)
    model = CostModel(config)

    @settings(deadline=None, max_examples=4)
    @given(st.lists(st.sampled_from(PAPER_PATHS), min_size=3, max_size=3))
    def close(paths: list[PathType]) -> None:
        genotype = Genotype.of(paths)
        if output_nodes(genotype):
            macs = model(genotype).macs
            assert detector_cost(fpn_of_macs(config, macs)).macs == pytest.approx(macs, rel=0.05)

    close()


def test_it_is_the_closest_of_all_widths(shapes_root: Path) -> None:
    config = tiny_config(shapes_root)
    costs = {width: detector_cost(with_baseline(config, "fpn", width)).macs for width in range(6, 12)}
    assert sorted(costs.values()) == list(costs.values())
    for width, macs in costs.items():
        assert fpn_of_macs(config, macs).model.neck.out_channels == width
    third = costs[8] + (costs[9] - costs[8]) // 3
    assert fpn_of_macs(config, third).model.neck.out_channels == 8


def test_the_quickstarts_baseline_is_within_the_tolerance() -> None:
    config = load_config("shapes")
    for name in ("opa-fpn", "scale-equalizing", "fpn", "fusing-splitting"):
        genotype = resolve_genotype(name)
        macs = detector_cost(with_sub_net(config, genotype)).macs
        assert detector_cost(fpn_of_macs(config, macs)).macs == pytest.approx(macs, rel=0.05)


def test_macs_that_no_width_gives_are_refused(shapes_root: Path) -> None:
    config = tiny_config(shapes_root)
    with pytest.raises(InfeasibleError, match=r"no width of FPN gives the detector 1,000 MACs; the closest has [\d,]+"):
        fpn_of_macs(config, 1000)


@pytest.mark.parametrize("detector", ["faster-rcnn", "retinanet"])
def test_the_fpn_is_normalised_as_the_neck_is(shapes_root: Path, detector: str) -> None:
    config = tiny_config(shapes_root, detector)

    def norms(**options: object) -> list[str]:
        changed = copy.deepcopy(config)
        changed.model.neck.update(options)
        neck = build_detector(with_baseline(changed, "fpn", 12)).neck
        return [name.split(".")[0] for name, module in neck.named_modules() if isinstance(module, GroupNorm)]

    levels = 3 if detector == "retinanet" else 4
    outputs = ["fpn_convs"] * (5 if detector == "retinanet" else 4)
    group_norm = dict(type="GN", num_groups=4)
    assert norms() == []
    assert norms(output_norm_cfg=group_norm) == outputs
    assert norms(norm_cfg=group_norm) == ["lateral_convs"] * levels + outputs
    assert norms(norm_cfg=group_norm, output_norm_cfg=group_norm) == ["lateral_convs"] * levels + outputs


def test_widths_divide_into_the_groups_of_the_norms(shapes_root: Path) -> None:
    config = tiny_config(shapes_root)
    assert width_step(config) == 1
    config.model.neck.update(norm_cfg=dict(type="GN", num_groups=4), output_norm_cfg=dict(type="GN", num_groups=6))
    assert width_step(config) == 12
    macs = detector_cost(with_baseline(config, "fpn", 48)).macs
    assert fpn_of_macs(config, macs - 1).model.neck.out_channels == 48
