"""BiFPN: weighted fusion along both directions of a pyramid (Tan et al., EfficientDet, CVPR 2020)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from opanas_cli.necks.convolution import PathOptions, build_conv
from opanas_cli.necks.path_aggregation import check_levels
from opanas_cli.necks.pyramid import OutputPyramid
from opanas_cli.necks.resize import downsample, size_of, upsample

EPSILON = 1e-4


class Fusion(nn.Module):
    """Fast normalised fusion of equally large levels, Σ wᵢ·Iᵢ / (ε + Σ wⱼ) with wᵢ ≥ 0, then a separable convolution.

    Section 3.3 of the paper. The weights start at 1 and pass a ReLU. Norm and activation follow the pointwise
    convolution.
    """

    def __init__(self, num_inputs: int, channels: int, options: PathOptions) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.ones(num_inputs))
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        nn.init.kaiming_uniform_(self.depthwise.weight, nonlinearity="linear")
        self.pointwise = build_conv(channels, channels, options, kernel_size=1)

    def forward(self, *levels: Tensor) -> Tensor:
        """Levels of one shape (B, C, H, W) to one of that shape."""
        weights = F.relu(self.weights)
        weights = weights / (weights.sum() + EPSILON)
        fused = sum(weight * level for weight, level in zip(weights, levels, strict=True))
        return self.pointwise(self.depthwise(fused))


class BiFPNLayer(nn.Module):
    """One layer: top-down over all levels but the outermost, then bottom-up over all, which also see their inputs.

    Figure 2(d) of the paper. Maps L levels, finest first, to L levels of the same shapes.
    """

    def __init__(self, channels: int, num_levels: int, options: PathOptions) -> None:
        super().__init__()
        inner = num_levels - 2
        self.top_down = nn.ModuleList(Fusion(2, channels, options) for _ in range(inner))
        self.bottom_up = nn.ModuleList(Fusion(count, channels, options) for count in (2, *[3] * inner, 2))

    def forward(self, pyramid: Sequence[Tensor]) -> list[Tensor]:
        seen = [pyramid[-1]]
        for level, fusion in zip(pyramid[-2:0:-1], self.top_down, strict=True):
            seen.append(fusion(level, upsample(seen[-1], size_of(level))))
        seen.reverse()  # Of each level but the finest, what the next finer one is given.
        outputs = [self.bottom_up[0](pyramid[0], upsample(seen[0], size_of(pyramid[0])))]
        for level, inner, fusion in zip(pyramid[1:], seen, self.bottom_up[1:], strict=True):
            inputs = [level] if inner is level else [level, inner]  # The coarsest has no inner node.
            outputs.append(fusion(*inputs, downsample(outputs[-1], size_of(level))))
        return outputs


class BiFPN(nn.Module):
    """BiFPN as a neck for any detector: laterals, the extra levels, then `num_layers` layers over all levels.

    Levels are resized as by our information paths: nearest interpolation, 2×2 max pooling.

    Args:
        num_layers: repetitions; the smallest EfficientDet has 3.
        act_cfg: activation of the fusions; None is SiLU, the paper's.
        in_channels, out_channels, num_outs, start_level, extra_convs, norm_cfg: see `PathAggregationNeck`. Extra levels
            are made of the laterals, so that all levels are fused.

    Raises:
        ValueError: arguments contradict one another.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int,
        num_outs: int,
        num_layers: int = 3,
        start_level: int = 0,
        extra_convs: bool = False,
        norm_cfg: Mapping[str, Any] | None = None,
        act_cfg: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        check_levels(len(in_channels), num_outs, start_level, extra_convs)
        self.start_level = start_level
        linear = PathOptions(deformable=False, norm_cfg=norm_cfg)
        fusing = linear._replace(act_cfg=act_cfg or dict(type="SiLU"))
        used = in_channels[start_level:]
        self.laterals = nn.ModuleList(build_conv(count, out_channels, linear, kernel_size=1) for count in used)
        self.extra_levels = OutputPyramid(len(used), num_outs - len(used), out_channels, linear, extra_convs)
        self.layers = nn.Sequential(*(BiFPNLayer(out_channels, num_outs, fusing) for _ in range(num_layers)))

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Feature maps (B, in_channels[i], H_i, W_i), finest first, to `num_outs` of (B, out_channels, H_i, W_i)."""
        used = features[self.start_level :]
        pyramid = [lateral(level) for lateral, level in zip(self.laterals, used, strict=True)]
        return tuple(self.layers(self.extra_levels(pyramid)))
