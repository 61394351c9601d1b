"""The scale-equalizing information path."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from opanas_cli.necks.convolution import PathOptions, build_activation, build_conv, build_norm
from opanas_cli.necks.resize import size_of, upsample


class ScaleEqualizing(nn.Module):
    """F_i = ReLU(U(W_1 ⊗ P_{i+1}) + W_0 ⊗ P_i + W_{-1} ⊗ P_{i-1}), W_{-1} of stride 2 (Eq. 3).

    The three convolutions are shared by all levels. They are deformable, except for the finest output level, where the
    same weights run as plain convolutions; the ReLU is the released model's, not the paper's. A norm follows the sum,
    one for each level, and then `act_cfg` in place of the ReLU. Maps L levels, finest first, to L levels of the same
    shapes.
    """

    def __init__(self, channels: int, num_levels: int, options: PathOptions) -> None:
        super().__init__()
        # With two levels the finest output is the only one with a coarser level: offsets there would never be used.
        norm_cfg, act_cfg = options.norm_cfg, options.act_cfg
        bare, bias = options._replace(norm_cfg=None, act_cfg=None), norm_cfg is None
        self.from_coarser = build_conv(channels, channels, bare if num_levels > 2 else bare.plain, bias=bias)
        self.from_same = build_conv(channels, channels, bare, bias=bias)
        self.from_finer = build_conv(channels, channels, bare, stride=2, bias=bias)
        for conv in (self.from_coarser, self.from_same, self.from_finer):
            nn.init.normal_(conv.weight, std=0.01)
        norms = [build_norm(norm_cfg, channels) for _ in range(num_levels)] if norm_cfg is not None else []
        self.norms = nn.ModuleList(norms)
        self.act = nn.ReLU() if act_cfg is None else build_activation(act_cfg)

    def forward(self, pyramid: Sequence[Tensor]) -> list[Tensor]:
        sums = [self._finest(pyramid), *(self._level(pyramid, level) for level in range(1, len(pyramid)))]
        if self.norms:
            sums = [norm(level) for norm, level in zip(self.norms, sums, strict=True)]
        return [self.act(level) for level in sums]

    def _finest(self, pyramid: Sequence[Tensor]) -> Tensor:
        same = _run_plain(self.from_same, pyramid[0])
        return same + upsample(_run_plain(self.from_coarser, pyramid[1]), size_of(same))

    def _level(self, pyramid: Sequence[Tensor], level: int) -> Tensor:
        size = size_of(pyramid[level])
        merged = self.from_same(pyramid[level]) + upsample(self.from_finer(pyramid[level - 1]), size)
        if level + 1 < len(pyramid):
            merged = merged + upsample(self.from_coarser(pyramid[level + 1]), size)
        return merged


def _run_plain(conv: nn.Module, level: Tensor) -> Tensor:
    """A convolution of stride 1 without its offsets."""
    return F.conv2d(level, conv.weight, conv.bias, padding=1)
