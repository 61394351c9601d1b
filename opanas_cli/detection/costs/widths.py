"""Setting the width of a detector's pyramid, and finding the width that costs as much as another detector."""

from __future__ import annotations

import copy
import math
from bisect import bisect_left
from collections.abc import Callable, Mapping
from typing import Any

from mmengine.config import Config, ConfigDict

from opanas_cli.detection.configs.necks import neck_of
from opanas_cli.detection.costs.profiling import detector_cost
from opanas_cli.errors import InfeasibleError

MAX_WIDTH = 4096
TOLERANCE = 0.05


def set_width(model: Any, channels: int) -> None:
    """Set the channels of the neck and of the heads on it, as the paper does when it aligns costs (section 4.3.1)."""
    model["neck"]["out_channels"] = channels
    for name in ("rpn_head", "bbox_head"):
        head = model.get(name)
        if isinstance(head, dict):
            head["in_channels"] = channels
            head["feat_channels"] = channels
    roi_head = model.get("roi_head")
    if not roi_head:
        return
    for name in ("bbox_roi_extractor", "bbox_head"):
        parts = roi_head.get(name)
        for part in parts if isinstance(parts, (list, tuple)) else [parts]:
            if isinstance(part, dict):
                part["out_channels" if name == "bbox_roi_extractor" else "in_channels"] = channels


def of_width(config: Config, channels: int) -> Config:
    """The config with this width of the pyramid and of the heads."""
    changed = copy.deepcopy(config)
    set_width(changed.model, channels)
    return changed


def with_fpn(config: Config, channels: int) -> Config:
    """The config with mmdet's FPN of this width in place of its neck, normalised alike, the heads changed along."""
    changed = of_width(config, channels)
    neck = neck_of(config)
    start_level = neck.get("start_level", 0)
    norm, output_norm = neck.get("norm_cfg"), neck.get("output_norm_cfg")
    changed.model.neck = ConfigDict(
        type="FPN",
        in_channels=list(neck["in_channels"]),
        out_channels=channels,
        num_outs=neck["num_outs"],
        start_level=start_level,
        add_extra_convs="on_input" if neck.get("extra_convs") else False,
        norm_cfg=norm or output_norm,
        no_norm_on_lateral=not norm,
    )
    return changed


BASELINES: Mapping[str, Callable[[Config, int], Config]] = {"fpn": with_fpn}
"""The necks that others designed, by their names: each replaces a config's neck by one of a given width."""


def at_macs(macs: int, build: Callable[[int], Config], what: str, step: int = 1) -> Config:
    """The config whose detector's MACs are closest to `macs`, among those that `build` makes of a width.

    A convolution's MACs are the product of two widths at most, so those of the detector are a polynomial of degree two
    in the width, and three counts tell them for every width.

    Args:
        what: the neck's name, for the message.
        step: the width is a multiple of it.

    Raises:
        InfeasibleError: even that one misses by more than 5 %.
    """
    # Not of a width of one, with which a norm refuses a level of one pixel.
    first, second, third = (detector_cost(build(step * count)).macs for count in (2, 3, 4))

    def macs_of(count: int) -> int:
        steps = count - 2
        return first + steps * (second - first) + steps * (steps - 1) // 2 * (third - 2 * second + first)

    above = bisect_left(range(1, MAX_WIDTH // step), macs, key=macs_of) + 1
    best = min(range(max(1, above - 1), above + 1), key=lambda count: abs(macs_of(count) - macs))
    if abs(macs_of(best) - macs) > TOLERANCE * macs:
        raise InfeasibleError(
            f"no width of {what} gives the detector {macs:,} MACs; the closest has {macs_of(best):,}; compare with a "
            "wider neck"
        )
    return build(step * best)


def width_step(config: Config) -> int:
    """What widths must be multiples of, so that the groups of the neck's norms are equally large."""
    neck = neck_of(config)
    norms = [neck.get(name) or {} for name in ("norm_cfg", "output_norm_cfg")]
    return math.lcm(*(int(norm.get("num_groups", 1)) for norm in norms))
