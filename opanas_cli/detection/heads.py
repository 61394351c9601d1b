"""Running the heads of a detector on feature pyramids that were computed elsewhere."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from torch import Tensor, nn


def heads_on(detector: nn.Module, pyramid: Sequence[Tensor]) -> nn.Module:
    """The detector with `extract_feat` giving `pyramid`: every mmdet detector asks it for its features.

    All modules and weights are those of `detector`, which stays as it is, so several threads may each have their own.
    """
    twin = copy.copy(detector)
    twin.__dict__["extract_feat"] = lambda *_, **__: tuple(pyramid)
    return twin
