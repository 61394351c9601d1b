"""The top-down information path."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from opanas_cli.necks.convolution import PathOptions, build_level_convs
from opanas_cli.necks.resize import size_of, upsample


class TopDown(nn.Module):
    """F_i = W_i ⊗ (U(F_{i+1}) + P_i), from the coarsest level to the finest (Eq. 1).

    The coarsest level is convolved too. W is deformable except at the finest level. Maps L levels, finest first, to L
    levels of the same shapes.
    """

    def __init__(self, channels: int, num_levels: int, options: PathOptions) -> None:
        super().__init__()
        self.convs = build_level_convs(channels, num_levels, options)

    def forward(self, pyramid: Sequence[Tensor]) -> list[Tensor]:
        outputs = [self.convs[-1](pyramid[-1])]
        for level, conv in reversed(list(zip(pyramid[:-1], self.convs[:-1], strict=True))):
            outputs.append(conv(level + upsample(outputs[-1], size_of(level))))
        return outputs[::-1]
