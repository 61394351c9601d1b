"""Parameters and multiply-adds of detectors, counted on shapes alone, and of genotypes, in closed form."""

from __future__ import annotations

import copy
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property, partial
from typing import Any

import torch
from mmcv.ops import DeformConv2d, ModulatedDeformConv2d
from mmengine.config import Config
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from opanas_cli.detection.configs.building import build_detector, building
from opanas_cli.detection.configs.necks import search_space, with_sub_net
from opanas_cli.detection.configs.parts import require_backbone
from opanas_cli.detection.quiet import silenced
from opanas_cli.genotype import Genotype, PathType
from opanas_cli.genotype.liveness import live_edges
from opanas_cli.search.cost import Cost

PARTS = ("backbone", "neck", "heads")
DEFAULT_INPUT = (800, 1280)
DEFAULT_PROPOSALS = 1000
DEFAULT_BOXES = 100
_COUNTED = (nn.modules.conv._ConvNd, nn.Linear, DeformConv2d, ModulatedDeformConv2d)


@dataclass(frozen=True)
class PartCost:
    """What a part of a detector costs: its parameters, those that require gradients, multiply-adds of one image."""

    params: int
    trained_params: int
    macs: int


def detector_cost(config: Config, size: tuple[int, int] | None = None) -> Cost:
    """Parameters that require gradients and MACs of a whole detector; see `detector_profile`."""
    parts = detector_profile(config, size).values()
    return Cost(macs=sum(part.macs for part in parts), params=sum(part.trained_params for part in parts))


def input_size(config: Config) -> tuple[int, int]:
    """The (height, width) at which a config's detector is counted and timed: `cost_input`, or 800×1280."""
    height, width = config.get("cost_input") or DEFAULT_INPUT
    return int(height), int(width)


def detector_profile(config: Config, size: tuple[int, int] | None = None) -> dict[str, PartCost]:
    """The cost of a detector's backbone, neck and heads, which are all else, for one image of `size`, (height, width).

    MACs are the multiply-adds of convolutions, deformable ones included, linear layers and attention. RoI heads are
    counted on as many proposals as the config tests with, and mask heads on as many boxes as it keeps. A warning names
    the parts of the detector that are not counted, such as heads that take more than features. By default the size is
    that of `input_size`. Raises InvalidConfigError if the detector cannot be built, or its parts do not fit each other.
    """
    require_backbone(config)
    height, width = size or input_size(config)
    source = copy.deepcopy(config)
    with silenced(), building(config):
        source.model.backbone.pop("init_cfg", None)
        detector = build_detector(source).to("meta").eval()
        _run_deformable_ones_plainly(detector)
        image = torch.empty(1, 3, height, width, device="meta")
        macs, left_out = _counted(detector, image, config.model.get("test_cfg") or {})
    if left_out:
        _warn_once(f"{config.filename}: MACs leave out {', '.join(left_out)}")
    return {part: PartCost(*_parameters(detector, part), macs[part]) for part in PARTS}


class CostModel:
    """The cost of a detector with the neck of any genotype of a config's super-net: a fixed part and one per live edge.

    All nodes carry pyramids of one size, so an information path costs the same on every edge, and a profile of each
    gives the cost of all genotypes. Parameters are those of the stand-alone detector.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._skip = self._profile(PathType.SKIP_CONNECT)

    def __call__(self, genotype: Genotype) -> Cost:
        """The cost of the detector with this genotype; equal to `detector_cost` of its retraining config."""
        counts = Counter(path for _, path in live_edges(genotype))
        macs = self._skip.macs + sum(self.per_path[path].macs * count for path, count in counts.items())
        params = self._skip.params + sum(self.per_path[path].params * count for path, count in counts.items())
        return Cost(macs=macs, params=params)

    @cached_property
    def per_path(self) -> dict[PathType, Cost]:
        """What each path of the super-net's space adds to the detector on any edge; 0 without weights."""
        costs = {PathType.SKIP_CONNECT: Cost(macs=0, params=0), PathType.NONE: Cost(macs=0, params=0)}
        for path in search_space(self._config).paths:
            if path.builder:
                full = self._profile(path)
                costs[path] = Cost(macs=full.macs - self._skip.macs, params=full.params - self._skip.params)
        return costs

    def _profile(self, path: PathType) -> Cost:
        return detector_cost(with_sub_net(self._config, Genotype((path,))))


def _run_deformable_ones_plainly(detector: nn.Module) -> None:
    """Run mmcv's deformable convolutions as plain ones, of as many multiply-adds, beside their offset convolutions.

    The counter does not know deformable operators, and mmcv's compiled ones do not run on shapes alone.
    """
    for module in detector.modules():
        if isinstance(module, (DeformConv2d, ModulatedDeformConv2d)):
            module.forward = partial(_plain_convolution, module)


def _plain_convolution(module: nn.Module, x: Tensor, *_: Tensor) -> Tensor:
    if hasattr(module, "conv_offset"):
        module.conv_offset(x)
    return F.conv2d(x, module.weight, None, module.stride, module.padding, module.dilation, module.groups)


def _part_of(name: str) -> str:
    """The part that a module or parameter belongs to."""
    first = name.split(".")[0]
    return first if first in PARTS[:2] else PARTS[2]


def _parameters(detector: nn.Module, part: str) -> tuple[int, int]:
    """How many parameters a part has, and how many of them require gradients."""
    own = [parameter for name, parameter in detector.named_parameters() if _part_of(name) == part]
    return sum(each.numel() for each in own), sum(each.numel() for each in own if each.requires_grad)


@torch.no_grad()
def _counted(detector: nn.Module, image: Tensor, test_cfg: Mapping[str, Any]) -> tuple[Mapping[str, int], list[str]]:
    """Multiply-adds by part, and what has layers that are not counted: all those of a head that does not run alone."""
    ran: set[nn.Module] = set()
    for module in detector.modules():
        module.register_forward_pre_hook(lambda layer, _: ran.add(layer))
    operations: Counter[str] = Counter()
    with FlopCounterMode(display=False) as counter:
        for part in PARTS[:2]:
            if (module := getattr(detector, part, None)) is not None:
                _meter(module, counter, operations, part)
        features = detector.extract_feat(image)
        operations["heads"] = counter.get_total_flops() - operations.total()
    for run in _heads(detector, features, test_cfg):
        before = set(ran)
        try:
            with FlopCounterMode(display=False) as counter:
                run()
            operations["heads"] += counter.get_total_flops()
        except (AttributeError, TypeError, NotImplementedError):  # It takes more than the features.
            ran &= before
    layers = [
        name.split(".") for name, layer in detector.named_modules() if isinstance(layer, _COUNTED) and layer not in ran
    ]
    left_out = {".".join(parts[:2] if parts[0] == "roi_head" else parts[:1]) for parts in layers}
    macs = {part: operations[part] // 2 for part in PARTS}  # A multiply-add is two operations.
    return macs, sorted(left_out - {"backbone", "neck"})


def _meter(module: nn.Module, counter: FlopCounterMode, operations: Counter[str], part: str) -> None:
    """Add to `operations` what the counter counts while a module runs."""
    module.register_forward_pre_hook(lambda *_: operations.subtract({part: counter.get_total_flops()}))
    module.register_forward_hook(lambda *_: operations.update({part: counter.get_total_flops()}))


@cache
def _warn_once(message: str) -> None:
    """Warn once, not for each of the many profiles of one config."""
    warnings.warn(message, stacklevel=2)


def _heads(detector: nn.Module, features: Any, test_cfg: Mapping[str, Any]) -> Iterator[Callable[[], Any]]:
    """What runs each head: on the features of an image, or on those of regions."""
    for head in filter(None, (getattr(detector, name, None) for name in ("rpn_head", "bbox_head", "mask_head"))):
        yield partial(head, features)
    for name, part, default in (("bbox_head", "rpn", DEFAULT_PROPOSALS), ("mask_head", "rcnn", DEFAULT_BOXES)):
        heads = getattr(getattr(detector, "roi_head", None), name, None)
        count = (test_cfg.get(part) or {}).get("max_per_img", default)
        # Those of the stages of a cascade, or one.
        for head in heads if isinstance(heads, nn.ModuleList) else filter(None, [heads]):
            yield partial(_run_on_regions, head, count)


def _run_on_regions(head: nn.Module, count: int) -> None:
    size = head.roi_feat_size if isinstance(head.roi_feat_size, tuple) else (head.roi_feat_size,) * 2
    head(torch.empty(count, head.in_channels, *size, device="meta"))
