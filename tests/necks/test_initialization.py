from __future__ import annotations

import math

import pytest
import torch

from opanas_cli.errors import InvalidConfigError
from opanas_cli.necks.deformable import DeformableConv2d
from opanas_cli.necks.opa_fpn import OPAFPN
from opanas_cli.necks.super_net import OPASuperNet

WIDTH = 112
XAVIER = math.sqrt(6 / (9 * WIDTH + 9 * WIDTH))
OFFSETS = math.sqrt(6 / (9 * WIDTH + 9 * 18))
MMCV = 1 / math.sqrt(9 * WIDTH)
MMCV_FUSING = 1 / math.sqrt(9 * 2 * WIDTH)


def deformable(neck, path):
    return [module for name, module in neck.named_modules() if path in name and isinstance(module, DeformableConv2d)]


def reaches(weight, bound):
    """Whether values are uniform within the bound, as far as the largest of many can say."""
    return 0.99 * bound < weight.abs().max() <= bound


@pytest.fixture(scope="module")
def released():
    torch.manual_seed(0)
    return OPAFPN([64, 128, 256, 512], WIDTH, 5, "opa-fpn", init="released")


def test_the_released_model_starts_offsets_as_xavier_and_deformable_weights_as_mmcv_does(released):
    # The bounds that its initialisation has at width 112: 0.0716, 0.0315 and 0.0223.
    assert (round(OFFSETS, 4), round(MMCV, 4), round(MMCV_FUSING, 4)) == (0.0716, 0.0315, 0.0223)
    for path, bound in (("top_down", MMCV), ("bottom_up", MMCV), ("fusing_splitting", MMCV_FUSING)):
        convs = deformable(released, path)
        assert convs
        for conv in convs:
            assert reaches(conv.weight, bound)
            assert torch.count_nonzero(conv.bias) == torch.count_nonzero(conv.conv_offset.bias) == 0
    assert all(reaches(conv.conv_offset.weight, OFFSETS) for conv in deformable(released, "top_down"))
    assert all(reaches(conv.conv_offset.weight, OFFSETS) for conv in deformable(released, "scale_equalizing"))


def test_the_released_model_starts_plain_convolutions_as_xavier_and_scale_equalizing_as_normal(released):
    finest = next(module for name, module in released.named_modules() if name.endswith("top_down.convs.0"))
    assert reaches(finest.weight, XAVIER)
    for conv in deformable(released, "scale_equalizing"):
        assert math.isclose(conv.weight.std().item(), 0.01, rel_tol=0.02)


@pytest.mark.parametrize("neck", [OPAFPN, OPASuperNet])
def test_another_initialisation_is_refused_by_name(neck):
    genotype = {"genotype": "opa-fpn"} if neck is OPAFPN else {}
    with pytest.raises(InvalidConfigError, match=r"init must be one of xavier, released, but got 'he'"):
        neck([8, 8], 8, 2, **genotype, init="he")


def test_a_super_net_starts_as_asked():
    offsets = [
        conv.conv_offset.weight
        for conv in deformable(OPASuperNet([8, 8, 8], 8, 3, num_nodes=1, init="released"), "paths")
    ]
    assert offsets
    assert all(torch.count_nonzero(weight) for weight in offsets)
