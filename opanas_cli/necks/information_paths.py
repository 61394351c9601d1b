"""The information paths of section 3.1 by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from opanas_cli.necks.bottom_up import BottomUp
from opanas_cli.necks.fusing_splitting import FusingSplitting
from opanas_cli.necks.scale_equalizing import ScaleEqualizing
from opanas_cli.necks.top_down import TopDown


def build_path(
    path: str,
    channels: int,
    num_levels: int,
    deformable: bool = True,
    share_fusing: bool = True,
    norm_cfg: Mapping[str, Any] | None = None,
    act_cfg: Mapping[str, Any] | None = None,
) -> nn.Module:
    """A module from a list of `num_levels` tensors (B, channels, H_i, W_i), finest first, to one of the same shapes.

    `skip_connect` hands the very same list on; `none` is no module, it is an edge that is not built.

    Raises:
        ValueError: there is no such path.
    """
    name = str(path)
    options: dict[str, Any] = {"deformable": deformable, "norm_cfg": norm_cfg, "act_cfg": act_cfg}
    if name == "top_down":
        return TopDown(channels, num_levels, **options)
    if name == "bottom_up":
        return BottomUp(channels, num_levels, **options)
    if name == "scale_equalizing":
        return ScaleEqualizing(channels, num_levels, **options)
    if name == "fusing_splitting":
        return FusingSplitting(channels, num_levels, **options, share_fusing=share_fusing)
    if name == "skip_connect":
        return nn.Identity()
    raise ValueError(
        f"a path must be top_down, bottom_up, scale_equalizing, fusing_splitting or skip_connect, but got {name!r}"
    )
