from __future__ import annotations

import pytest
import torch
from torch import nn

from opanas_cli.necks.convolution import PathOptions, build_activation, build_conv, build_norm
from opanas_cli.necks.deformable import DeformableConv2d

PLAIN = PathOptions().plain


def test_without_norm_and_activation_it_is_the_bare_convolution():
    assert isinstance(build_conv(2, 3, PLAIN), nn.Conv2d)
    assert isinstance(build_conv(2, 3, PathOptions()), DeformableConv2d)


def test_order_and_bias_are_those_of_a_conv_module():
    layers = build_conv(
        2, 4, PLAIN._replace(norm_cfg={"type": "BN", "eps": 1e-3}, act_cfg={"type": "ReLU", "inplace": True})
    )
    assert list(dict(layers.named_children())) == ["conv", "norm", "act"]
    assert layers.conv.bias is None
    assert layers.norm.eps == 1e-3
    assert layers.act.inplace


def test_a_norm_can_be_frozen():
    norm = build_norm({"type": "BN", "requires_grad": False}, 4)
    assert not any(p.requires_grad for p in norm.parameters())


def test_weights_are_xavier_uniform_and_biases_zero():
    torch.manual_seed(0)
    conv = build_conv(16, 32, PLAIN)
    bound = (6 / (9 * 16 + 9 * 32)) ** 0.5
    assert 0.98 * bound < conv.weight.abs().max() <= bound
    assert not conv.bias.any()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: build_norm({"type": "LN"}, 4), r"norm_cfg\['type'\] must be one of BN, SyncBN, GN, but got 'LN'"),
        (lambda: build_norm({}, 4), "but got None"),
        (lambda: build_norm({"type": "GN"}, 4), "norm_cfg: GroupNorm cannot be made"),
        (lambda: build_norm({"type": "GN", "num_groups": 3}, 4), "norm_cfg: GroupNorm cannot be made"),
        (lambda: build_activation({"type": "ReLu"}), r"act_cfg\['type'\] must be one of ReLU"),
        (lambda: build_activation({"type": "ReLU", "slope": 1}), "act_cfg: ReLU cannot be made"),
    ],
)
def test_a_wrong_config_is_named(build, message):
    with pytest.raises(ValueError, match=message):
        build()
