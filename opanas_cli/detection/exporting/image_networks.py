"""Whole detectors as modules from an image to boxes and scores, in operations that `torch.export` can trace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmcv.ops import DeformConv2d, ModulatedDeformConv2d, RoIAlign
from mmdet.models.dense_heads import RetinaHead, RPNHead
from mmdet.models.detectors import CascadeRCNN, FasterRCNN, SingleStageDetector, TwoStageDetector
from mmdet.models.roi_heads import CascadeRoIHead, ConvFCBBoxHead, SingleRoIExtractor, StandardRoIHead
from torch import Tensor, nn

from opanas_cli.detection.exporting.suppression import EMPTY, above, best, detections, suppressed
from opanas_cli.errors import UsageError

RCNN = "the R-CNN"


class ImageNetwork(nn.Module):
    """A detector for one image (1, 3, H, W), RGB from 0 to 255, that normalises and pads as its data preprocessor does.

    Boxes are x1, y1, x2, y2 in pixels of that image.

    Args:
        settings: those of the data preprocessor.
        nms: whether to suppress as the detector's `test_cfg` says, and give boxes (1, D, 4), scores (1, D) and classes
            (1, D) of the best D; without it, boxes and the scores of all classes before suppression.
    """

    def __init__(self, detector: nn.Module, settings: Mapping[str, Any], nms: bool = False) -> None:
        super().__init__()
        self.backbone, self.neck, self.nms = detector.backbone, detector.neck, nms
        self.is_ranked = nms  # Whether the boxes are chosen ones, best first.
        for name, default in (("mean", 0.0), ("std", 1.0)):
            self.register_buffer(name, torch.tensor(settings.get(name) or [default] * 3).view(1, 3, 1, 1))
        # mmdet's pipelines load BGR, or RGB for a network that takes BGR.
        self.is_bgr = not settings.get("bgr_to_rgb", False)
        self.divisor, self.padding = settings.get("pad_size_divisor", 1), float(settings.get("pad_value", 0))

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        height, width = image.shape[-2:]
        normal = ((image.flip(1) if self.is_bgr else image) - self.mean) / self.std
        if self.divisor > 1:
            for dim in (2, 3):  # Joined: ONNX's Pad cannot be converted to operator sets before 18.
                shape = list(normal.shape)
                shape[dim] = -shape[dim] % self.divisor
                normal = torch.cat([normal, normal.new_full(shape, self.padding)], dim)
        return self.found(self.neck(self.backbone(normal)), (height, width))

    def found(self, features: Sequence[Tensor], size: tuple[int, int]) -> tuple[Tensor, ...]:
        """What is in an image of a size (height, width) with these levels of the pyramid."""
        raise NotImplementedError


class DenseNetwork(ImageNetwork):
    """A one-stage detector; before suppression, boxes (1, A, 4) and scores (1, A, C) of the A anchors, finest first."""

    def __init__(self, detector: SingleStageDetector, settings: Mapping[str, Any], nms: bool = False) -> None:
        super().__init__(detector, settings, nms)
        self.head = detector.bbox_head

    def found(self, features: Sequence[Tensor], size: tuple[int, int]) -> tuple[Tensor, ...]:
        levels = _levels(self.head, features)
        if not self.nms:
            anchors, deltas, scores = map(torch.cat, zip(*levels, strict=True))
            return _decoded(self.head, anchors, deltas, size)[None], scores[None]
        settings, chosen = self.head.test_cfg, []
        for anchors, deltas, scores in levels:
            high, places = above(scores.flatten(), settings.get("score_thr", 0))
            ranked, order = best(high, settings.nms_pre)
            which, classes = places[order] // scores.shape[1], places[order] % scores.shape[1]
            chosen.append((anchors[which], deltas[which], ranked, classes))
        anchors, deltas, ranked, classes = map(torch.cat, zip(*chosen, strict=True))
        boxes, ranked = _large_enough(_decoded(self.head, anchors, deltas, size), ranked, settings)
        return detections(boxes, ranked, classes, settings.nms.iou_threshold, settings.max_per_img)


class TwoStageNetwork(ImageNetwork):
    """Faster R-CNN or Cascade R-CNN.

    Before suppression, scores (1, P, C) of P proposals, of which some may be empty, with scores of 0, and boxes
    (1, P, 4), or (1, P, C, 4) if each class has its own.
    """

    def __init__(self, detector: TwoStageDetector, settings: Mapping[str, Any], nms: bool = False) -> None:
        super().__init__(detector, settings, nms)
        self.is_ranked = True
        self.rpn_head, self.settings = detector.rpn_head, detector.roi_head.test_cfg
        heads, extractors = detector.roi_head.bbox_head, detector.roi_head.bbox_roi_extractor
        self.heads = heads if isinstance(heads, nn.ModuleList) else nn.ModuleList([heads])
        self.extractors = extractors if isinstance(extractors, nn.ModuleList) else nn.ModuleList([extractors])

    def found(self, features: Sequence[Tensor], size: tuple[int, int]) -> tuple[Tensor, ...]:
        objectness, boxes = self.proposals(features, size)
        logits = []
        for stage, (extractor, head) in enumerate(zip(self.extractors, self.heads, strict=True), 1):
            of_stage, deltas = head(_pooled(extractor, features, boxes))
            logits.append(of_stage)
            if stage < len(self.heads):
                classes = of_stage[:, :-1].argmax(dim=1)
                boxes = head.regress_by_class(boxes, classes, deltas, {"img_shape": size})
        scores = (sum(logits) / len(logits)).softmax(-1)[:, :-1] * (objectness > EMPTY)[:, None]
        boxes = _decoded(head, boxes, deltas, size)
        if not head.reg_class_agnostic:
            boxes = boxes.unflatten(1, (-1, 4))
        if not self.nms:
            return boxes[None], scores[None]
        ranked, places = above(scores.flatten(), self.settings.score_thr)
        count = scores.shape[1]
        chosen = boxes[places // count] if head.reg_class_agnostic else boxes.flatten(0, 1)[places]
        return detections(chosen, ranked, places % count, self.settings.nms.iou_threshold, self.settings.max_per_img)

    def proposals(self, features: Sequence[Tensor], size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """The scores (P,) of the best proposals and their boxes (P, 4)."""
        settings, chosen = self.rpn_head.test_cfg, []
        for level, (anchors, deltas, scores) in enumerate(_levels(self.rpn_head, features)):
            ranked, places = best(scores[:, 0], settings.nms_pre)
            chosen.append((anchors[places], deltas[places], ranked, torch.full_like(places, level)))
        anchors, deltas, scores, levels = map(torch.cat, zip(*chosen, strict=True))
        boxes, scores = _large_enough(_decoded(self.rpn_head, anchors, deltas, size), scores, settings)
        scores, places = suppressed(boxes, scores, levels, settings.nms.iou_threshold, settings.max_per_img)
        return scores, boxes[places] * (scores > EMPTY)[:, None]


def _levels(head: nn.Module, features: Sequence[Tensor]) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Of each level the anchors (A, 4), what moves them (A, 4), and their scores (A, C)."""
    levels_of_classes, levels_of_deltas = head(features)
    levels_of_anchors = head.prior_generator.grid_priors(
        [level.shape[-2:] for level in levels_of_classes], device=features[0].device
    )
    levels = []
    for anchors, deltas, logits in zip(levels_of_anchors, levels_of_deltas, levels_of_classes, strict=True):
        flat = _flat(logits, head.cls_out_channels)
        scores = flat.sigmoid() if head.use_sigmoid_cls else flat.softmax(-1)[:, :-1]
        levels.append((anchors, _flat(deltas, 4), scores))
    return levels


def _flat(level: Tensor, channels: int) -> Tensor:
    """(1, anchors·channels, H, W) as (A, channels)."""
    return level.permute(0, 2, 3, 1).reshape(-1, channels)


def _decoded(head: nn.Module, boxes: Tensor, deltas: Tensor, size: tuple[int, int]) -> Tensor:
    """Boxes (N, 4) moved by deltas (N, 4·C) and clipped to an image."""
    return head.bbox_coder.decode(boxes, deltas, max_shape=size)


def _large_enough(boxes: Tensor, scores: Tensor, settings: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """Boxes (N, 4), and their scores (N,), where one is too small the score of an empty place."""
    sides = boxes[:, 2:] - boxes[:, :2]
    least = settings.get("min_bbox_size", -1)
    return boxes, torch.where((sides > least).all(dim=1), scores, EMPTY) if least >= 0 else scores


def _pooled(extractor: nn.Module, features: Sequence[Tensor], boxes: Tensor) -> Tensor:
    """The features in boxes (P, 4), each from its own level: (P, channels, height, width).

    On the other levels a small box takes its place: of one without size, OpenVINO makes values that are not numbers.
    """
    sides = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1).sqrt() / extractor.finest_scale + 1e-6
    level_of = sum((sides >= 2**level).long() for level in range(1, len(extractor.roi_layers)))
    small, pooled = boxes.new_tensor([0.0, 0.0, 1.0, 1.0]), boxes.new_zeros(())
    for level, layer in enumerate(extractor.roi_layers):
        here = (level_of == level)[:, None]
        rois = torch.cat([torch.zeros_like(boxes[:, :1]), torch.where(here, boxes, small)], dim=1)
        own = torch.ops.torchvision.roi_align(
            features[level], rois, layer.spatial_scale, *layer.output_size, layer.sampling_ratio, layer.aligned
        )
        pooled = torch.where(here[..., None, None], own, pooled)
    return pooled


def image_network(detector: nn.Module, settings: Mapping[str, Any], nms: bool) -> ImageNetwork:
    """A detector as a module from an image to boxes and scores, in evaluation mode; see `ImageNetwork`.

    Raises UsageError for detectors with parts that do something else.
    """
    if any(isinstance(module, (DeformConv2d, ModulatedDeformConv2d)) for module in detector.modules()):
        raise UsageError("--part detector: the backbone has mmcv's deformable convolutions; use --part neck")
    kind: type[ImageNetwork]
    if isinstance(detector, SingleStageDetector) and isinstance(detector.bbox_head, RetinaHead):
        kind, cfgs = DenseNetwork, {"the head": detector.bbox_head.test_cfg} if nms else {}
    elif isinstance(detector, (FasterRCNN, CascadeRCNN)) and _has_plain_parts(detector):
        kind = TwoStageNetwork
        cfgs = {"the RPN": detector.rpn_head.test_cfg, **({RCNN: detector.roi_head.test_cfg} if nms else {})}
    else:
        raise UsageError(
            "--part detector: only RetinaNet, Faster R-CNN and Cascade R-CNN with mmdet's usual heads are exported "
            f"whole, but this is {type(detector).__name__}; use --part neck"
        )
    for part, cfg in cfgs.items():
        _require_plain_suppression(part, cfg)
    return kind(detector, settings, nms).eval()


def _has_plain_parts(detector: TwoStageDetector) -> bool:
    head = detector.roi_head
    extractors, heads = (
        [*parts] if isinstance(parts, nn.ModuleList) else [parts] for parts in (head.bbox_roi_extractor, head.bbox_head)
    )
    return (
        type(detector.rpn_head) is RPNHead
        and type(head) in (StandardRoIHead, CascadeRoIHead)
        and not head.with_shared_head
        and all(isinstance(one, ConvFCBBoxHead) and not one.custom_cls_channels for one in heads)
        and all(type(one) is SingleRoIExtractor for one in extractors)
        and all(
            isinstance(layer, RoIAlign) and layer.pool_mode == "avg" for one in extractors for layer in one.roi_layers
        )
    )


def _require_plain_suppression(part: str, cfg: Mapping[str, Any]) -> None:
    """Raise UsageError unless a `test_cfg` is of the suppression that ONNX's NonMaxSuppression does."""
    nms = dict(cfg["nms"])
    kind = nms.pop("type", "nms")
    others = nms.keys() - {"iou_threshold", "split_thr"}
    most = cfg["max_per_img"], *([] if part == RCNN else [cfg.get("nms_pre", -1)])
    if kind != "nms" or others or min(most) < 1:
        raise UsageError(
            f"--part detector: {part} suppresses boxes by {dict(cfg)}, but only type='nms' without further settings, "
            "of a bounded number of boxes, can be exported; change it by --cfg-options, or leave out --nms"
        )
