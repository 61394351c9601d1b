"""A detector's network, or its neck alone, as one module from tensors to tensors that `torch.export` can trace."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmcv.ops import DeformConv2d, ModulatedDeformConv2d
from mmdet.models.dense_heads import RetinaHead
from mmdet.models.detectors import SingleStageDetector
from mmengine.config import Config
from torch import Tensor, nn
from torch.nn import functional as F

from opanas_cli.detection.checkpoints import load_weights, read_checkpoint
from opanas_cli.detection.configs.building import build_detector, reason_of
from opanas_cli.detection.costs.profiling import input_size
from opanas_cli.detection.exporting.trained_model import require_same_model
from opanas_cli.errors import OpanasError, UsageError

LEAST_OPEN = 256
"""The shortest side with which open sizes are traced: RetinaNet's coarsest level of stride 128 has two pixels then.

torch takes a side of one pixel to be one for ever.
"""


@dataclass(frozen=True)
class Network:
    """What is exported: a module in evaluation mode, and arguments for it, as tensors (1, C, H, W).

    It is traced with the first of `trials`. If its sizes are open there is another one, with odd sizes where the first
    has even ones. `inputs` and `outputs` are the names of its arguments and results.
    """

    module: nn.Module
    trials: tuple[tuple[Tensor, ...], ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class NeckNetwork(nn.Module):
    """Feature maps (B, in_channels[i], H_i, W_i), one argument each, to the tuple of pyramid levels."""

    def __init__(self, neck: nn.Module) -> None:
        super().__init__()
        self.neck = neck

    def forward(self, *features: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.neck(features))


class DenseNetwork(nn.Module):
    """From an image to all boxes and scores of a one-stage detector, before any is suppressed.

    Normalises and pads as the detector's data preprocessor does. (1, 3, H, W), RGB from 0 to 255, becomes boxes
    (1, A, 4), x1, y1, x2, y2 in pixels of that image, and scores (1, A, classes) of the A anchors, finest level first.
    """

    def __init__(self, detector: SingleStageDetector, settings: Mapping[str, Any]) -> None:
        super().__init__()
        self.backbone, self.neck, self.head = detector.backbone, detector.neck, detector.bbox_head
        for name, default in (("mean", 0.0), ("std", 1.0)):
            self.register_buffer(name, torch.tensor(settings.get(name) or [default] * 3).view(1, 3, 1, 1))
        # mmdet's pipelines load BGR, or RGB for a network that takes BGR.
        self.is_bgr = not settings.get("bgr_to_rgb", False)
        self.divisor, self.padding = settings.get("pad_size_divisor", 1), float(settings.get("pad_value", 0))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        height, width = image.shape[-2:]
        normal = ((image.flip(1) if self.is_bgr else image) - self.mean) / self.std
        if self.divisor > 1:
            beyond = (0, -width % self.divisor, 0, -height % self.divisor)
            normal = F.pad(normal, beyond, value=self.padding)
        levels_of_classes, levels_of_deltas = self.head(self.neck(self.backbone(normal)))
        logits = _flat(levels_of_classes, self.head.cls_out_channels)
        deltas = _flat(levels_of_deltas, 4)
        sizes = [level.shape[-2:] for level in levels_of_classes]
        anchors = torch.cat(self.head.prior_generator.grid_priors(sizes, device=image.device))
        boxes = self.head.bbox_coder.decode(anchors, deltas[0])[None]
        if self.head.bbox_coder.clip_border:
            x, y = boxes[..., 0::2].clamp(0, width), boxes[..., 1::2].clamp(0, height)
            boxes = torch.stack((x, y), dim=-1).flatten(-2)
        return boxes, logits.sigmoid() if self.head.use_sigmoid_cls else logits.softmax(-1)[..., :-1]


def network(
    config: Config, part: str, weights: Path | None, size: tuple[int, int] | None, dynamic: bool = False
) -> Network:
    """The network of a detector's config: its ``neck`` alone, or the whole ``detector`` up to the suppression.

    Args:
        weights: a checkpoint of the detector, all of whose weights are loaded; None leaves random ones.
        size: (height, width) of the image; None means the config's `cost_input`, or 800×1280.
        dynamic: whether sizes are open.

    Raises:
        InvalidCheckpointError: the weights are not those of the config's detector.
        UsageError: the detector has no such export.
    """
    source = copy.deepcopy(config)
    source.model.backbone.pop("init_cfg", None)
    detector = build_detector(source)
    if weights is not None:
        content = read_checkpoint(weights)
        require_same_model(content.get("meta"), config, weights)
        load_weights(detector, content.get("state_dict"), weights)
    detector.eval().requires_grad_(False)
    height, width = size or input_size(config)
    sizes = [(height, width)]
    if dynamic:
        height, width = max(height, LEAST_OPEN), max(width, LEAST_OPEN)
        sizes = [(height, width), (height + 33, width + 17)]
    if part == "neck":
        trials = tuple(_feature_maps(detector.backbone, size) for size in sizes)
        names = tuple(f"feature{level}" for level in range(len(trials[0])))
        outputs = tuple(f"level{level}" for level in range(config.model.neck["num_outs"]))
        return Network(NeckNetwork(detector.neck).eval(), trials, names, outputs)
    _require_dense(detector)
    trials = tuple((255 * torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0)),) for size in sizes)
    whole = DenseNetwork(detector, config.model.data_preprocessor).eval()
    return Network(whole, trials, ("image",), ("boxes", "scores"))


def _feature_maps(backbone: nn.Module, size: tuple[int, int]) -> tuple[Tensor, ...]:
    """Random feature maps of the shapes that a backbone makes of an image."""
    image = torch.empty(1, 3, *size, device="meta")
    shapes = [level.shape for level in copy.deepcopy(backbone).to("meta")(image)]
    random = torch.Generator().manual_seed(0)
    return tuple(torch.randn(shape, generator=random) for shape in shapes)


def _require_dense(detector: nn.Module) -> None:
    kind = type(detector).__name__
    if not (isinstance(detector, SingleStageDetector) and isinstance(detector.bbox_head, RetinaHead)):
        raise UsageError(f"--part detector: only RetinaNet is exported whole, but this is {kind}; use --part neck")
    if any(isinstance(module, (DeformConv2d, ModulatedDeformConv2d)) for module in detector.modules()):
        raise UsageError("--part detector: the backbone has mmcv's deformable convolutions; use --part neck")


def _flat(levels: Sequence[Tensor], channels: int) -> Tensor:
    """(B, anchors·channels, H_i, W_i) of all levels as (B, A, channels)."""
    return torch.cat([level.permute(0, 2, 3, 1).reshape(len(level), -1, channels) for level in levels], dim=1)


def traced(source: Network) -> torch.export.ExportedProgram:
    """A network as a graph, for the sizes of its first trial or for open ones; OpanasError if torch cannot do it."""
    open_size = torch.export.Dim.DYNAMIC
    shapes: Any = tuple({2: open_size, 3: open_size} if len(source.trials) > 1 else None for _ in source.inputs)
    if isinstance(source.module, NeckNetwork):
        shapes = (shapes,)  # All of them are its one argument, `features`.
    try:
        return torch.export.export(source.module, source.trials[0], dynamic_shapes=shapes, strict=False)
    except Exception as error:
        reason = f"{type(error).__name__}: {reason_of(error):.300}"
        raise OpanasError(f"torch cannot export this network: {reason}") from error
