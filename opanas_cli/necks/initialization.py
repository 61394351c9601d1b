"""How the weights of a neck start."""

from __future__ import annotations

import math

from torch import nn

from opanas_cli.necks.deformable import DeformableConv2d
from opanas_cli.necks.scale_equalizing import ScaleEqualizing

INITS = ("xavier", "released")


def initialize(neck: nn.Module, init: str) -> None:
    """Give the convolutions of a neck, as its layers build them, the weights of `init`.

    ``xavier`` leaves them as they are: Xavier uniform, offsets zero. ``released`` starts as the released model does:
    offset convolutions are Xavier uniform too, and the deformable convolutions of top-down, bottom-up and
    fusing-splitting are uniform within ±1/√(9·C_in). Scale-equalizing paths start as N(0, 0.01) in both, biases as
    zero. Any other `init` is a ValueError.
    """
    if init not in INITS:
        raise ValueError(f"init must be one of {', '.join(INITS)}, but got {init!r}")
    if init == "xavier":
        return
    equalizing = {conv for path in neck.modules() if isinstance(path, ScaleEqualizing) for conv in path.modules()}
    for conv in neck.modules():
        if isinstance(conv, DeformableConv2d):
            nn.init.xavier_uniform_(conv.conv_offset.weight)
            if conv not in equalizing:
                bound = 1 / math.sqrt(conv.weight[0].numel())
                nn.init.uniform_(conv.weight, -bound, bound)
