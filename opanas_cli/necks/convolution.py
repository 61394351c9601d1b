"""The convolutions that necks are made of, with the normalisation and the activation that a config asks for."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import nn

from opanas_cli.necks.deformable import DeformableConv2d

NORMS = {"BN": nn.BatchNorm2d, "SyncBN": nn.SyncBatchNorm, "GN": nn.GroupNorm}
ACTIVATIONS = {"ReLU": nn.ReLU, "LeakyReLU": nn.LeakyReLU, "GELU": nn.GELU, "SiLU": nn.SiLU, "Swish": nn.SiLU}


class PathOptions(NamedTuple):
    """What is equal for all convolutions of a neck; see `PathAggregationNeck`."""

    deformable: bool = True
    share_fusing: bool = True
    norm_cfg: Mapping[str, Any] | None = None
    act_cfg: Mapping[str, Any] | None = None

    @property
    def plain(self) -> PathOptions:
        """The same without deformable convolutions."""
        return self._replace(deformable=False)


def build_conv(
    in_channels: int,
    out_channels: int,
    options: PathOptions,
    kernel_size: int = 3,
    stride: int = 1,
    bias: bool = True,
) -> nn.Module:
    """A padded convolution, deformable (3×3 only) or plain, then the norm, then the activation.

    Weights are Xavier uniform, biases zero. As in mmcv's ConvModule, a norm takes the place of the bias. Without norm
    and activation this is the bare convolution.
    """
    bias = bias and options.norm_cfg is None
    conv: nn.Module
    if options.deformable:
        conv = DeformableConv2d(in_channels, out_channels, stride, bias)
    else:
        conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2, bias=bias)
        nn.init.xavier_uniform_(conv.weight)
        if conv.bias is not None:
            nn.init.zeros_(conv.bias)
    layers = OrderedDict(conv=conv)
    if options.norm_cfg is not None:
        layers["norm"] = build_norm(options.norm_cfg, out_channels)
    if options.act_cfg is not None:
        layers["act"] = build_activation(options.act_cfg)
    return nn.Sequential(layers) if len(layers) > 1 else conv


def build_level_convs(channels: int, num_levels: int, options: PathOptions) -> nn.ModuleList:
    """One 3×3 convolution for each level, finest first: plain at the finest, deformable at the others (Eq. 1 and 2)."""
    return nn.ModuleList(
        build_conv(channels, channels, options if level else options.plain) for level in range(num_levels)
    )


def build_norm(norm_cfg: Mapping[str, Any], channels: int) -> nn.Module:
    """The norm of an mmdet-style config: `type` is one of `NORMS`, `requires_grad` may freeze it."""
    settings = dict(norm_cfg)
    requires_grad = settings.pop("requires_grad", True)
    size = "num_channels" if settings.get("type") == "GN" else "num_features"
    return _build(NORMS, "norm_cfg", {**settings, size: channels}).requires_grad_(requires_grad)


def build_activation(act_cfg: Mapping[str, Any]) -> nn.Module:
    """The activation of an mmdet-style config, whose `type` is one of `ACTIVATIONS`."""
    return _build(ACTIVATIONS, "act_cfg", act_cfg)


def _build(kinds: Mapping[str, type[nn.Module]], where: str, cfg: Mapping[str, Any]) -> nn.Module:
    """One of `kinds`, made with the other settings of a config; ValueError if it cannot be."""
    arguments = dict(cfg)
    name = arguments.pop("type", None)
    if name not in kinds:
        raise ValueError(f"{where}['type'] must be one of {', '.join(kinds)}, but got {name!r}")
    try:
        return kinds[name](**arguments)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: {kinds[name].__name__} cannot be made with {arguments}: {error}") from error
