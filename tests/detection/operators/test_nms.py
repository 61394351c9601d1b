import numpy as np
import pytest
import torch
import torchvision
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from mmcv.ops import batched_nms, nms

from opanas_cli.detection.operators.nms import _apart


def naive_iou(a: list[float], b: list[float], offset: int) -> float:
    def area(box: list[float]) -> float:
        return (box[2] - box[0] + offset) * (box[3] - box[1] + offset)

    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]) + offset)
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]) + offset)
    return width * height / (area(a) + area(b) - width * height)


def naive_nms(boxes: torch.Tensor, scores: torch.Tensor, iou_threshold: float, offset: int = 0) -> list[int]:
    corners = boxes.double().tolist()
    kept: list[int] = []
    for i in sorted(range(len(corners)), key=lambda i: -float(scores[i])):
        if all(naive_iou(corners[i], corners[j], offset) <= iou_threshold for j in kept):
            kept.append(i)
    return kept


def random_boxes(number: int, seed: int, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    """Boxes of 2 to 22 pixels in a 40-pixel image, so that many overlap, and scores that all differ."""
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(number, 2, generator=generator, dtype=dtype) * 20
    extent = torch.rand(number, 2, generator=generator, dtype=dtype) * 20 + 2
    scores = (torch.randperm(number, generator=generator).to(dtype) + 1) / (number + 1)
    return torch.cat([corner, corner + extent], dim=1), scores


@given(st.integers(0, 40), st.integers(0, 10_000), st.sampled_from([0.05, 0.3, 0.5, 0.7]), st.sampled_from([0, 1]))
@hypothesis_settings(deadline=None, max_examples=60)
def test_keeps_the_boxes_that_the_naive_version_keeps(
    number: int, seed: int, iou_threshold: float, offset: int
) -> None:
    boxes, scores = random_boxes(number, seed, torch.float64)
    detections, kept = nms(boxes, scores, iou_threshold, offset=offset)
    assert kept.tolist() == naive_nms(boxes, scores, iou_threshold, offset)
    assert torch.equal(detections, torch.cat([boxes[kept], scores[kept, None]], dim=1))


@given(st.integers(0, 10_000), st.lists(st.integers(1, 400), min_size=1, max_size=5), st.booleans())
@hypothesis_settings(deadline=None, max_examples=40)
def test_boxes_suppressed_apart_are_those_of_one_call(seed: int, sizes: list[int], ties: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    groups = [random_boxes(size, seed + index)[0] + 60 * index for index, size in enumerate(sizes)]
    boxes = torch.cat(groups)[torch.randperm(sum(sizes), generator=generator)]
    scores = torch.rand(len(boxes), generator=generator)
    scores = (scores * 8).round() / 8 if ties else scores
    _, kept = nms(boxes, scores, 0.5)
    assert torch.equal(kept, torchvision.ops.nms(boxes, scores, 0.5))


def test_boxes_that_touch_are_apart_and_boxes_that_overlap_are_not() -> None:
    left = torch.tensor([[0.0, 0.0, 2.0, 2.0]]).repeat(200, 1)
    assert len(_apart(torch.cat([left, left + 2]))) == 2
    assert len(_apart(torch.cat([left, left + 1.9]))) == 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_every_floating_type(device: torch.device, dtype: torch.dtype) -> None:
    boxes, _ = random_boxes(30, 1)
    boxes, scores = boxes.to(dtype), (torch.arange(30) / 32).to(dtype)
    detections, kept = nms(boxes.to(device), scores.to(device), 0.4)
    assert kept.cpu().tolist() == naive_nms(boxes, scores, 0.4)
    assert detections.dtype == dtype
    assert kept.device.type == device.type


def test_offset_one_counts_the_far_corner_as_a_pixel() -> None:
    boxes = torch.tensor([[0.0, 0.0, 1.0, 1.0], [1.0, 0.0, 2.0, 1.0]])  # touching: IoU 0, or 2 of 6 pixels
    scores = torch.tensor([0.9, 0.8])
    assert nms(boxes, scores, 0.3, offset=0)[1].tolist() == [0, 1]
    assert nms(boxes, scores, 0.3, offset=1)[1].tolist() == [0]


def test_no_boxes(device: torch.device) -> None:
    detections, kept = nms(torch.zeros(0, 4, device=device), torch.zeros(0, device=device), 0.5)
    assert detections.shape == (0, 5)
    assert kept.shape == (0,)
    assert kept.dtype == torch.long


def test_strided_inputs_are_read_in_order_and_not_modified() -> None:
    boxes, scores = random_boxes(20, 3)
    strided = boxes.t().contiguous().t()
    before = strided.clone()
    assert not strided.is_contiguous()
    assert nms(strided, scores, 0.4, offset=1)[1].tolist() == naive_nms(boxes, scores, 0.4, 1)
    assert torch.equal(strided, before)


def test_numpy_in_numpy_out() -> None:
    boxes, scores = random_boxes(20, 4)
    _, kept = nms(boxes.numpy(), scores.numpy(), 0.4)
    assert isinstance(kept, np.ndarray)
    assert kept.tolist() == naive_nms(boxes, scores, 0.4)


def test_score_threshold_and_maximum_number() -> None:
    boxes, scores = random_boxes(30, 5)
    kept = [i for i in naive_nms(boxes, scores, 0.4) if scores[i] > 0.3]
    assert nms(boxes, scores, 0.4, score_threshold=0.3)[1].tolist() == kept
    assert nms(boxes, scores, 0.4, max_num=2)[1].tolist() == kept[:2]


def test_batched_nms_suppresses_within_a_class_only(device: torch.device) -> None:
    boxes, scores = random_boxes(40, 6, torch.float64)
    classes = torch.arange(40) % 3
    _, kept = batched_nms(
        boxes.to(device), scores.to(device), classes.to(device), {"type": "nms", "iou_threshold": 0.3}
    )
    expected: list[int] = []
    for number in range(3):
        members = (classes == number).nonzero().flatten()
        expected += members[naive_nms(boxes[members], scores[members], 0.3)].tolist()
    assert kept.cpu().tolist() == sorted(expected, key=lambda i: -float(scores[i]))
