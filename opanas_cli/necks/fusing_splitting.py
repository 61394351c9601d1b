"""The fusing-splitting information path."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from opanas_cli.necks.convolution import PathOptions, build_conv
from opanas_cli.necks.resize import downsample, size_of, upsample


class FusingSplitting(nn.Module):
    """Merges the finer and the coarser half of the pyramid, fuses the two and splits them again (Eq. 4 to 6).

    For L levels the finer half are the first ⌊L/2⌋: pooled down one after the other, they are summed into α_l at the
    coarsest level of that half. The others, upsampled one after the other, are summed into α_s at the finest level of
    theirs. Each of β_l and β_s, convolutions of both, is resized level by level through its half. For L = 4 this is the
    paper's path to the letter; other L are our generalisation.

    Both convolutions are deformable. With `share_fusing` they are one module used twice, as in the released model and
    in the paper's parameter counts; without, they are the two that Eq. 5 names. Maps L levels, finest first, to L
    levels of the same shapes.
    """

    def __init__(self, channels: int, num_levels: int, options: PathOptions) -> None:
        super().__init__()
        self.num_fine = num_levels // 2
        self.convs = nn.ModuleList(
            build_conv(2 * channels, channels, options) for _ in range(1 if options.share_fusing else 2)
        )

    def forward(self, pyramid: Sequence[Tensor]) -> list[Tensor]:
        sizes = [size_of(level) for level in pyramid]
        fine, coarse = pyramid[: self.num_fine], pyramid[self.num_fine :]
        alpha_l, alpha_s = _merge(fine, downsample), _merge(coarse[::-1], upsample)
        beta_l = self.convs[0](torch.cat((alpha_l, upsample(alpha_s, size_of(alpha_l))), dim=1))
        beta_s = self.convs[-1](torch.cat((downsample(alpha_l, size_of(alpha_s)), alpha_s), dim=1))
        finer = _split(beta_l, sizes[: self.num_fine][::-1], upsample)
        coarser = _split(beta_s, sizes[self.num_fine :], downsample)
        return [*finer[::-1], *coarser]


def _merge(levels: Sequence[Tensor], resize: Callable[[Tensor, tuple[int, int]], Tensor]) -> Tensor:
    """The sum of all levels at the last one's size, each resized to the next one's."""
    merged = levels[0]
    for level in levels[1:]:
        merged = resize(merged, size_of(level)) + level
    return merged


def _split(
    level: Tensor, sizes: Sequence[tuple[int, int]], resize: Callable[[Tensor, tuple[int, int]], Tensor]
) -> list[Tensor]:
    """The level at the first of `sizes`, which it has, and then resized from each to the next."""
    levels = [level]
    for size in sizes[1:]:
        levels.append(resize(levels[-1], size))
    return levels
