"""The torch modules of `plug_in_paths`."""

from torch import nn
from torch.nn import functional as F

from opanas_cli.necks.convolution import build_level_convs


class LevelWise(nn.Module):
    """A convolution of each level for itself."""

    def __init__(self, channels, num_levels, options):
        super().__init__()
        self.convs = build_level_convs(channels, num_levels, options)

    def forward(self, pyramid):
        return [conv(level) for conv, level in zip(self.convs, pyramid, strict=True)]


class Smooth(nn.Module):
    """The mean of 3×3 pixels."""

    def __init__(self, channels, num_levels, options):
        super().__init__()

    def forward(self, pyramid):
        return [F.avg_pool2d(level, 3, 1, 1) for level in pyramid]
