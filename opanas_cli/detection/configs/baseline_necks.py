"""The necks that others designed, in place of a super-net's: as many levels, its backbone's channels, its norms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mmengine.config import ConfigDict

from opanas_cli.detection.configs.necks import sub_net_neck
from opanas_cli.formats import resolve_genotype

NAS_FPN_LEVELS = 5
NAS_FPN_STACKS = 7
"""As in the paper's Table 1, NAS-FPN (7@256)."""


def _shape(neck: Any, channels: int) -> dict[str, Any]:
    """What all of them take. They have one norm for all convolutions, so that of the outputs serves if it is alone."""
    return dict(
        in_channels=list(neck["in_channels"]),
        out_channels=channels,
        num_outs=neck["num_outs"],
        start_level=neck.get("start_level", 0),
        norm_cfg=neck.get("norm_cfg") or neck.get("output_norm_cfg"),
    )


def _fpn(neck: Any, channels: int, kind: str = "FPN") -> ConfigDict:
    return ConfigDict(
        type=kind,
        **_shape(neck, channels),
        add_extra_convs="on_input" if neck.get("extra_convs") else False,
        no_norm_on_lateral=not neck.get("norm_cfg"),
    )


def _pafpn(neck: Any, channels: int) -> ConfigDict:
    return _fpn(neck, channels, "PAFPN")


def _bfp(neck: Any, channels: int) -> list[ConfigDict]:
    """Libra R-CNN's: FPN, then all levels gathered at the stride of P4, refined by attention and added to each."""
    fpn = _fpn(neck, channels)
    refining = ConfigDict(
        type="BFP",
        in_channels=channels,
        num_levels=fpn.num_outs,
        refine_level=max(0, 2 - fpn.start_level),
        refine_type="non_local",
        norm_cfg=fpn.norm_cfg,
    )
    return [fpn, refining]


def _nasfpn(neck: Any, channels: int) -> ConfigDict:
    if neck["num_outs"] != NAS_FPN_LEVELS:
        raise ValueError(f"has {NAS_FPN_LEVELS} output levels, but model.neck.num_outs is {neck['num_outs']}")
    return ConfigDict(type="NASFPN", **_shape(neck, channels), stack_times=NAS_FPN_STACKS)


def _sepc(neck: Any, channels: int) -> ConfigDict:
    """SEPC as the paper compares with it (Table 2): top-down, then four scale-equalizing paths, on our layers."""
    return sub_net_neck(neck, resolve_genotype("sepc"), out_channels=channels, edge_importance=False)


def _bifpn(neck: Any, channels: int) -> ConfigDict:
    return ConfigDict(type="BiFPN", **_shape(neck, channels), extra_convs=neck.get("extra_convs", False))


BASELINES: Mapping[str, Callable[[Any, int], Any]] = {
    "fpn": _fpn,
    "pafpn": _pafpn,
    "bfp": _bfp,
    "nasfpn": _nasfpn,
    "sepc": _sepc,
    "bifpn": _bifpn,
}
"""By name: the settings of a super-net's neck and a width to those of this neck, a list for necks in a row.

Raises ValueError if the neck cannot have these levels.
"""
