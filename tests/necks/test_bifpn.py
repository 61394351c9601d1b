"""BiFPN against its definition, written out node by node in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from opanas_cli.necks import BiFPN
from opanas_cli.necks.bifpn import BiFPNLayer, Fusion
from opanas_cli.necks.convolution import PathOptions

OPTIONS = PathOptions(deformable=False, act_cfg=dict(type="SiLU"))


def fuse(node: Fusion, *levels: Tensor) -> Tensor:
    """Section 3.3, and the separable convolution with its activation."""
    weights = [max(0.0, weight) for weight in node.weights.tolist()]
    total = sum(weights) + 0.0001
    mixed = torch.stack([weight / total * level for weight, level in zip(weights, levels, strict=True)]).sum(0)
    depthwise = F.conv2d(mixed, node.depthwise.weight, padding=1, groups=mixed.shape[1])
    pointwise = node.pointwise.conv
    value = torch.einsum("bchw,oc->bohw", depthwise, pointwise.weight[..., 0, 0]) + pointwise.bias[:, None, None]
    return value * torch.sigmoid(value)


def twice(level: Tensor) -> Tensor:
    return level.repeat_interleave(2, -1).repeat_interleave(2, -2)


def half(level: Tensor) -> Tensor:
    return F.max_pool2d(level, 2)


def test_a_layer_is_the_papers() -> None:
    """The equations of section 3.3 for P6, and the same for every level; the outermost have two inputs only."""
    torch.manual_seed(0)
    layer = BiFPNLayer(4, 5, OPTIONS).double()
    with torch.no_grad():
        for node in layer.modules():
            if isinstance(node, Fusion):
                node.weights.copy_(torch.randn(len(node.weights)))
    p3, p4, p5, p6, p7 = (torch.randn(2, 4, side, 2 * side, dtype=torch.float64) for side in (32, 16, 8, 4, 2))
    td, bu = layer.top_down, layer.bottom_up
    td6 = fuse(td[0], p6, twice(p7))
    td5 = fuse(td[1], p5, twice(td6))
    td4 = fuse(td[2], p4, twice(td5))
    out3 = fuse(bu[0], p3, twice(td4))
    out4 = fuse(bu[1], p4, td4, half(out3))
    out5 = fuse(bu[2], p5, td5, half(out4))
    out6 = fuse(bu[3], p6, td6, half(out5))
    out7 = fuse(bu[4], p7, half(out6))
    for got, expected in zip(layer([p3, p4, p5, p6, p7]), (out3, out4, out5, out6, out7), strict=True):
        torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("convs", [False, True])
@pytest.mark.parametrize("norm_cfg", [None, dict(type="GN", num_groups=2)])
def test_all_levels_at_any_size_and_a_gradient_for_every_weight(convs: bool, norm_cfg: dict[str, object]) -> None:
    torch.manual_seed(0)
    neck = BiFPN([3, 4, 5, 6], 4, 5, start_level=1 if convs else 0, extra_convs=convs, norm_cfg=norm_cfg)
    features = [torch.randn(2, 3 + level, 37 >> level, 90 >> level) for level in range(4)]
    outputs = neck(features)
    sizes = [tuple(level.shape[-2:]) for level in (features[1:] if convs else features)]
    while len(sizes) < 5:
        sizes.append(((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2))
    assert [tuple(level.shape) for level in outputs] == [(2, 4, *size) for size in sizes]
    sum(level.square().mean() for level in outputs).backward()
    assert [name for name, value in neck.named_parameters() if value.grad is None or not value.grad.abs().sum()] == []


def test_two_levels_have_no_inner_node() -> None:
    neck = BiFPN([3, 4], 4, 2, num_layers=1)
    assert [len(node.weights) for node in neck.modules() if isinstance(node, Fusion)] == [2, 2]
    assert len(neck([torch.randn(1, 3, 8, 8), torch.randn(1, 4, 4, 4)])) == 2


def test_levels_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="num_outs must be at least 4"):
        BiFPN([3, 4, 5, 6], 4, 3)
