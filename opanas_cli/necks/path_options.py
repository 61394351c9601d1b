"""What a neck asks of each of its information paths."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class PathOptions(NamedTuple):
    """What is equal for all information paths of a neck.

    Args:
        deformable: False makes all convolutions plain.
        share_fusing: whether the two convolutions of fusing-splitting are one.
        norm_cfg: mmdet-style norm after the convolutions, such as `dict(type="BN")`.
        act_cfg: mmdet-style activation after these, such as `dict(type="ReLU")`.
    """

    deformable: bool = True
    share_fusing: bool = True
    norm_cfg: Mapping[str, Any] | None = None
    act_cfg: Mapping[str, Any] | None = None
