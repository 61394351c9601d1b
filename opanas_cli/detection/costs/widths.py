"""Setting the width of a detector's pyramid, and finding the width that costs as much as another detector."""

from __future__ import annotations

import copy
from bisect import bisect_left
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


def with_fpn(config: Config, channels: int) -> Config:
    """The config with mmdet's FPN of this width in place of its neck, and the heads to match."""
    changed = copy.deepcopy(config)
    neck = neck_of(config)
    start_level = neck.get("start_level", 0)
    changed.model.neck = ConfigDict(
        type="FPN",
        in_channels=list(neck["in_channels"]),
        out_channels=channels,
        num_outs=neck["num_outs"],
        start_level=start_level,
        add_extra_convs="on_input" if neck.get("extra_convs") else False,
    )
    set_width(changed.model, channels)
    return changed


def fpn_of_macs(config: Config, macs: int) -> Config:
    """The config with the FPN whose detector's MACs are closest to `macs`; raises InfeasibleError beyond 5 %.

    A convolution's MACs are the product of two widths at most, so those of the detector are a polynomial of degree two
    in the width, and three counts give them for every width.
    """
    first, second, third = (detector_cost(with_fpn(config, width)).macs for width in (1, 2, 3))

    def macs_of(width: int) -> int:
        steps = width - 1
        return first + steps * (second - first) + steps * (steps - 1) // 2 * (third - 2 * second + first)

    above = bisect_left(range(1, MAX_WIDTH), macs, key=macs_of) + 1
    best = min(range(max(1, above - 1), above + 1), key=lambda width: abs(macs_of(width) - macs))
    if abs(macs_of(best) - macs) > TOLERANCE * macs:
        raise InfeasibleError(
            f"no FPN gives the detector {macs:,} MACs; the closest has {macs_of(best):,}; compare with a wider neck"
        )
    return with_fpn(config, best)
