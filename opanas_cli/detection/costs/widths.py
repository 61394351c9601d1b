"""Setting the width of a detector's pyramid, and finding the width that costs as much as another detector."""

from __future__ import annotations

import copy
import math
from bisect import bisect_left
from collections.abc import Callable
from functools import partial
from typing import Any

from mmengine.config import Config, ConfigDict

from opanas_cli.detection.configs.baseline_necks import BASELINES
from opanas_cli.detection.configs.building import FINEST_STRIDE, require_finest_stride
from opanas_cli.detection.configs.necks import neck_of, with_sub_net
from opanas_cli.detection.configs.parts import dicts_in
from opanas_cli.detection.configs.replaced_neck import norm_of
from opanas_cli.detection.costs.profiling import detector_cost, input_size
from opanas_cli.errors import InfeasibleError, InvalidConfigError
from opanas_cli.genotype import Genotype

MAX_WIDTH = 4096
TOLERANCE = 0.05


_ON_THE_PYRAMID = ("rpn_head", "bbox_head")
_ON_REGIONS = {
    "bbox_roi_extractor": "out_channels",
    "mask_roi_extractor": "out_channels",
    "bbox_head": "in_channels",
    "mask_head": "in_channels",
}
"""The parts of a `roi_head` that have the pyramid's width, and the setting that says so."""


def set_width(model: Any, channels: int) -> None:
    """Set the channels of the neck and of the heads on it, as the paper does when it aligns costs (section 4.3.1)."""
    model["neck"]["out_channels"] = channels
    for name in _ON_THE_PYRAMID:
        head = model.get(name)
        if isinstance(head, dict):
            head["in_channels"] = channels
            head["feat_channels"] = channels
    for name, setting in _ON_REGIONS.items():
        parts = (model.get("roi_head") or {}).get(name)
        for part in parts if isinstance(parts, (list, tuple)) else [parts]:
            if isinstance(part, dict):
                part[setting] = channels


def of_width(config: Config, channels: int) -> Config:
    """The config with this width of the pyramid and of the heads.

    Raises InvalidConfigError if the width is another and the detector has parts on the pyramid whose settings are not
    known, such as the transformers of query detectors.
    """
    changed = copy.deepcopy(config)
    unknown = _parts_of_unknown_width(config.model)
    width = neck_of(config)["out_channels"]
    if not unknown:
        set_width(changed.model, channels)
    elif width != channels:
        raise InvalidConfigError(
            f"{config.filename}: {unknown[0]}: opanas cannot change its width, so that of the pyramid must stay {width}"
        )
    return changed


def _parts_of_unknown_width(model: Any) -> list[str]:
    names = [f"model.{name}" for name in model if name.endswith(_HEADS) and name not in (*_ON_THE_PYRAMID, "roi_head")]
    names += [f"model.{name}" for name in _ON_THE_PYRAMID if model.get(name) and "in_channels" not in model[name]]
    of_regions = model.get("roi_head") or {}
    return names + [
        f"model.roi_head.{name}" for name in of_regions if name.endswith(_HEADS) and name not in _ON_REGIONS
    ]


_HEADS = ("_head", "_roi_extractor", "encoder", "decoder")


def with_baseline(config: Config, name: str, channels: int) -> Config:
    """The config with a neck of `BASELINES` of this width in place of its own, normalised alike, heads changed along.

    Raises InvalidConfigError if that neck cannot have the levels of the config's.
    """
    changed = of_width(config, channels)
    neck = neck_of(config)
    try:
        changed.model.neck = BASELINES[name](neck, channels)
    except ValueError as error:
        raise InvalidConfigError(f"{config.filename}: {name}: {error}") from error
    if name in ("bfp", "nasfpn"):
        require_finest_stride(config, name)
    if name == "nasfpn":
        # It halves levels by pooling, which drops an odd row: without this its levels would not lie over one another.
        stride = FINEST_STRIDE * 2 ** (neck.get("start_level", 0) + neck["num_outs"] - 1)
        if min(input_size(config)) < stride:
            raise InvalidConfigError(
                f"{config.filename}: nasfpn: its coarsest level has a stride of {stride} pixels, but cost_input is "
                f"{input_size(config)}; make it as large as images are"
            )
        preprocessor = changed.model.setdefault("data_preprocessor", ConfigDict())
        preprocessor["pad_size_divisor"] = math.lcm(stride, preprocessor.get("pad_size_divisor", 1))
    return changed


def baseline_at_macs(config: Config, genotype: Genotype, name: str) -> Config:
    """The config with a neck of `BASELINES` at the width at which the detector has the MACs of the genotype's.

    Raises InfeasibleError if no width comes within 5 %.
    """
    macs = detector_cost(with_sub_net(config, genotype)).macs
    return at_macs(macs, partial(with_baseline, config, name), name.upper(), width_step(config))


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
    """What widths must be multiples of, so that the groups of the norms of the neck and the heads are equally large."""
    parts = dicts_in({name: part for name, part in config.model.items() if name != "backbone"})
    norms = [norm or {} for part in parts for norm in (norm_of(part), part.get("output_norm_cfg"))]
    return math.lcm(*(int(norm.get("num_groups", 1)) for norm in norms))
