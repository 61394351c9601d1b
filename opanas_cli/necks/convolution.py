"""The convolutions necks are made of, with the normalisation and the activation a config asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from opanas_cli.necks.deformable import DeformableConv2d
from opanas_cli.necks.path_options import PathOptions

NORMS = {"BN": nn.BatchNorm2d, "SyncBN": nn.SyncBatchNorm, "GN": nn.GroupNorm}
ACTIVATIONS = {"ReLU": nn.ReLU, "LeakyReLU": nn.LeakyReLU, "GELU": nn.GELU, "SiLU": nn.SiLU, "Swish": nn.SiLU}


def build_conv(
    in_channels: int,
    out_channels: int,
    kernel_size: int = 3,
    stride: int = 1,
    deformable: bool = False,
    bias: bool = True,
    norm_cfg: Mapping[str, Any] | None = None,
    act_cfg: Mapping[str, Any] | None = None,
) -> nn.Module:
    """A padded convolution, deformable (3×3 only) or plain, then the norm, then the activation.

    Weights are Xavier uniform, biases zero. As in mmcv's ConvModule, a norm takes the place of the bias. Without norm
    and activation this is the bare convolution.
    """
    bias = bias and norm_cfg is None
    conv: nn.Module
    if deformable:
        conv = DeformableConv2d(in_channels, out_channels, stride, bias)
    else:
        conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2, bias=bias)
        nn.init.xavier_uniform_(conv.weight)
        if conv.bias is not None:
            nn.init.zeros_(conv.bias)
    after = {}
    if norm_cfg is not None:
        after["norm"] = build_norm(norm_cfg, out_channels)
    if act_cfg is not None:
        after["act"] = build_activation(act_cfg)
    if not after:
        return conv
    layers = nn.Sequential()
    for name, layer in {"conv": conv, **after}.items():
        layers.add_module(name, layer)
    return layers


def build_level_convs(channels: int, num_levels: int, options: PathOptions) -> nn.ModuleList:
    """One 3×3 convolution for each level, finest first: plain at the finest, deformable at the others (Eq. 1 and 2)."""
    after: dict[str, Any] = dict(norm_cfg=options.norm_cfg, act_cfg=options.act_cfg)
    return nn.ModuleList(
        build_conv(channels, channels, deformable=options.deformable and level > 0, **after)
        for level in range(num_levels)
    )


def build_norm(norm_cfg: Mapping[str, Any], channels: int) -> nn.Module:
    """The norm of an mmdet-style config: `type` is BN, SyncBN or GN, `requires_grad` may freeze it.

    Raises:
        ValueError: the type is unknown, or its arguments are wrong.
    """
    arguments = dict(norm_cfg)
    kind = _choose(NORMS, "norm_cfg", arguments.pop("type", None))
    requires_grad = arguments.pop("requires_grad", True)
    arguments["num_channels" if kind is nn.GroupNorm else "num_features"] = channels
    norm = _create(kind, "norm_cfg", arguments)
    return norm.requires_grad_(requires_grad)


def build_activation(act_cfg: Mapping[str, Any]) -> nn.Module:
    """The activation of an mmdet-style config, whose `type` is one of `ACTIVATIONS`.

    Raises:
        ValueError: the type is unknown, or its arguments are wrong.
    """
    arguments = dict(act_cfg)
    return _create(_choose(ACTIVATIONS, "act_cfg", arguments.pop("type", None)), "act_cfg", arguments)


def _choose(kinds: Mapping[str, type[nn.Module]], where: str, name: object) -> type[nn.Module]:
    if name not in kinds:
        raise ValueError(f"{where}['type'] must be one of {', '.join(kinds)}, but got {name!r}")
    return kinds[str(name)]


def _create(kind: type[nn.Module], where: str, arguments: dict[str, Any]) -> nn.Module:
    try:
        return kind(**arguments)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: {kind.__name__} cannot be made with {arguments}: {error}") from error
