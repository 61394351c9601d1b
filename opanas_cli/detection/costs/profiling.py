"""Parameters and multiply-adds of detectors, counted on shapes alone, and of genotypes, in closed form."""

from __future__ import annotations

import copy
import warnings
from collections import Counter
from collections.abc import Mapping
from functools import cache, cached_property, partial
from typing import Any

import torch
from mmcv.ops import DeformConv2d, ModulatedDeformConv2d
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from mmengine.config import Config
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from opanas_cli.detection.configs.building import build_detector, building
from opanas_cli.detection.configs.necks import search_space, with_sub_net
from opanas_cli.detection.quiet import silenced
from opanas_cli.genotype import Genotype, PathType
from opanas_cli.genotype.liveness import live_edges
from opanas_cli.search.cost import Cost

DEFAULT_INPUT = (800, 1280)
DEFAULT_PROPOSALS = 1000
DEFAULT_BOXES = 100
_COUNTED = (nn.modules.conv._ConvNd, nn.Linear, DeformConv2d, ModulatedDeformConv2d)


def detector_cost(config: Config, size: tuple[int, int] | None = None) -> Cost:
    """Parameters that require gradients and MACs of a detector for one image of `size`, (height, width).

    MACs are the multiply-adds of convolutions, deformable ones included, and linear layers. RoI heads are counted on as
    many proposals as the config tests with, and mask heads on as many boxes as it keeps. A warning names the parts of
    the detector that are not counted. By default the size is the config's `cost_input`, or 800×1280. Raises
    InvalidConfigError if the detector cannot be built, or its parts do not fit each other.
    """
    height, width = size or config.get("cost_input") or DEFAULT_INPUT
    source = copy.deepcopy(config)
    with silenced(), building(config):
        source.model.backbone.pop("init_cfg", None)
        detector = build_detector(source).to("meta").eval()
        _run_deformable_ones_plainly(detector)
        params = sum(parameter.numel() for parameter in detector.parameters() if parameter.requires_grad)
        counter, unused = FlopCounterMode(display=False), _unused(detector)
        with torch.no_grad(), counter:
            _forward(detector, torch.empty(1, 3, height, width, device="meta"), config.model.get("test_cfg") or {})
    if unused:
        _warn_once(f"{config.filename}: MACs leave out {', '.join(sorted(set(unused.values())))}")
    # The counter's unit is one operation, two of which are a multiply-add.
    return Cost(macs=counter.get_total_flops() // 2, params=params)


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
        macs = self._skip.macs + sum(self._per_path[path].macs * count for path, count in counts.items())
        params = self._skip.params + sum(self._per_path[path].params * count for path, count in counts.items())
        return Cost(macs=macs, params=params)

    @cached_property
    def _per_path(self) -> dict[PathType, Cost]:
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


def _unused(detector: nn.Module) -> dict[nn.Module, str]:
    """The layers of heads, each with the name of its part; a layer that is run removes itself."""
    unused: dict[nn.Module, str] = {}

    def remove(layer: nn.Module, _: Any) -> None:
        unused.pop(layer, None)

    for name, module in detector.named_modules():
        parts = name.split(".")
        if isinstance(module, _COUNTED) and parts[0] not in ("backbone", "neck"):
            unused[module] = ".".join(parts[:2] if parts[0] == "roi_head" else parts[:1])
            module.register_forward_pre_hook(remove)
    return unused


@cache
def _warn_once(message: str) -> None:
    """Warn once, not for each of the many profiles of one config."""
    warnings.warn(message, stacklevel=2)


def _forward(detector: nn.Module, image: Tensor, test_cfg: Mapping[str, Any]) -> None:
    features = detector.extract_feat(image)
    if getattr(detector, "roi_head", None) is None:
        detector.bbox_head(features)
        return
    detector.rpn_head(features)
    num_proposals = (test_cfg.get("rpn") or {}).get("max_per_img", DEFAULT_PROPOSALS)
    num_boxes = (test_cfg.get("rcnn") or {}).get("max_per_img", DEFAULT_BOXES)
    roi_head = detector.roi_head
    counts = dict.fromkeys(_each(roi_head.bbox_head), num_proposals)
    masks = _each(getattr(roi_head, "mask_head", None))
    counts.update({head: num_boxes for head in masks if isinstance(head, FCNMaskHead)})
    for head, count in counts.items():
        size = head.roi_feat_size if isinstance(head.roi_feat_size, tuple) else (head.roi_feat_size,) * 2
        head(torch.empty(count, head.in_channels, *size, device="meta"))


def _each(heads: nn.Module | None) -> list[nn.Module]:
    """One head, or those of the stages of a cascade."""
    return list(heads) if isinstance(heads, nn.ModuleList) else [] if heads is None else [heads]
