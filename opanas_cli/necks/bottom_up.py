"""The bottom-up information path."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from opanas_cli.necks.convolution import PathOptions, build_level_convs
from opanas_cli.necks.resize import downsample, size_of


class BottomUp(nn.Module):
    """F_i = W_i ⊗ (D(F_{i-1}) + P_i), from the finest level to the coarsest (Eq. 2).

    The finest level is convolved too. W is deformable except at the finest level. Maps L levels, finest first, to L
    levels of the same shapes.
    """

    def __init__(self, channels: int, num_levels: int, options: PathOptions) -> None:
        super().__init__()
        self.convs = build_level_convs(channels, num_levels, options)

    def forward(self, pyramid: Sequence[Tensor]) -> list[Tensor]:
        outputs = [self.convs[0](pyramid[0])]
        for level, conv in zip(pyramid[1:], self.convs[1:], strict=True):
            outputs.append(conv(level + downsample(outputs[-1], size_of(level))))
        return outputs
