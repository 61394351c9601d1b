"""From the backbone's feature maps to the pyramid of node 0, and from the sum of the nodes to all outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from opanas_cli.necks.convolution import PathOptions, build_conv, build_norm


class InputPyramid(nn.Module):
    """Node 0: a lateral 1×1 convolution per feature map, and the global context of the coarsest level.

    With `extra_level` a stride-2 3×3 convolution of the last lateral adds one level, as in RetinaNet. The global
    context, a 1×1 convolution of the global average, is added to the coarsest level of all. The released model averages
    after that convolution; the order makes no difference to the values, and this one costs less. The context carries
    neither norm nor activation: it is one value per image and channel.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int,
        options: PathOptions,
        extra_level: bool = False,
    ) -> None:
        super().__init__()
        plain = options.plain
        self.laterals = nn.ModuleList(build_conv(count, out_channels, plain, kernel_size=1) for count in in_channels)
        self.extra_conv = build_conv(out_channels, out_channels, plain, stride=2) if extra_level else None
        self.context = build_conv(out_channels, out_channels, PathOptions().plain, kernel_size=1)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """(B, in_channels[i], H_i, W_i), finest first, to (B, out_channels, H_i, W_i) and maybe one level more."""
        pyramid = [lateral(level) for lateral, level in zip(self.laterals, features, strict=True)]
        if self.extra_conv is not None:
            pyramid.append(self.extra_conv(pyramid[-1]))
        coarsest = pyramid[-1]
        return [*pyramid[:-1], coarsest + self.context(F.adaptive_avg_pool2d(coarsest, 1))]


class OutputPyramid(nn.Module):
    """Normalises the levels of a pyramid if asked to, and appends `num_extra` coarser ones, each made from the last.

    They are made by stride-2 3×3 convolutions (RetinaNet), or else by keeping every second pixel, a 1×1 max pooling of
    stride 2.

    Args:
        output_norm_cfg: mmdet-style norm, one for each given level; None hands the levels on as they are.
    """

    def __init__(
        self,
        num_levels: int,
        num_extra: int,
        channels: int,
        options: PathOptions,
        by_convs: bool = False,
        output_norm_cfg: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.norms = nn.ModuleList(
            nn.Identity() if output_norm_cfg is None else build_norm(output_norm_cfg, channels)
            for _ in range(num_levels)
        )
        self.layers = nn.ModuleList(
            build_conv(channels, channels, options.plain, stride=2) if by_convs else nn.MaxPool2d(1, stride=2)
            for _ in range(num_extra)
        )

    def forward(self, pyramid: Sequence[Tensor]) -> list[Tensor]:
        """(B, channels, H_i, W_i), finest first. Autocast may give the levels several dtypes; heads expect one."""
        outputs = [norm(level) for norm, level in zip(self.norms, pyramid, strict=True)]
        common = reduce(torch.promote_types, (level.dtype for level in outputs))
        outputs = [level.to(common) for level in outputs]
        for layer in self.layers:
            outputs.append(layer(outputs[-1]))
        return outputs
