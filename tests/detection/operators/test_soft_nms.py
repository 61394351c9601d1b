import math

import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from mmcv.ops import batched_nms, soft_nms
from test_nms import naive_iou, random_boxes

METHODS = ["naive", "linear", "gaussian"]


def naive_soft_nms(
    boxes: torch.Tensor,
    scores: torch.Tensor,
    method: str,
    iou_threshold: float = 0.3,
    sigma: float = 0.5,
    min_score: float = 1e-3,
    offset: int = 0,
) -> tuple[list[int], list[float]]:
    corners = boxes.double().tolist()
    left = dict(enumerate(scores.double().tolist()))
    kept: dict[int, float] = {}
    while left:
        best = max(left, key=lambda i: left[i])
        kept[best] = left.pop(best)
        for i in list(left):
            overlap = naive_iou(corners[best], corners[i], offset)
            if method == "gaussian":
                left[i] *= math.exp(-(overlap**2) / sigma)
            elif overlap >= iou_threshold:
                left[i] *= 1 - overlap if method == "linear" else 0
            if left[i] < min_score:
                del left[i]
    return list(kept), list(kept.values())


@given(
    st.integers(0, 25),
    st.integers(0, 10_000),
    st.sampled_from(METHODS),
    st.sampled_from([0.1, 0.5]),
    st.sampled_from([0, 1]),
)
@hypothesis_settings(deadline=None, max_examples=60)
def test_agrees_with_the_naive_version(number: int, seed: int, method: str, iou_threshold: float, offset: int) -> None:
    boxes, scores = random_boxes(number, seed, torch.float64)
    options = {"iou_threshold": iou_threshold, "sigma": 0.4, "min_score": 0.05, "offset": offset}
    detections, kept = soft_nms(boxes, scores, method=method, **options)
    expected, decayed = naive_soft_nms(boxes, scores, method, **options)
    assert kept.tolist() == expected
    torch.testing.assert_close(detections[:, :4], boxes[expected], rtol=0, atol=0)
    torch.testing.assert_close(detections[:, 4], torch.tensor(decayed, dtype=torch.float64), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_narrow_types(device: torch.device, dtype: torch.dtype, method: str) -> None:
    boxes, _ = random_boxes(12, 7)
    boxes, scores = boxes.to(dtype), (torch.arange(12) / 16 + 0.05).to(dtype)
    detections, kept = soft_nms(boxes.to(device), scores.to(device), method=method)
    expected, decayed = naive_soft_nms(boxes, scores, method)
    assert kept.tolist() == expected
    assert kept.device.type == device.type
    assert detections.dtype == dtype
    torch.testing.assert_close(detections[:, 4].cpu().double(), torch.tensor(decayed).double(), rtol=1e-2, atol=1e-3)


def test_the_best_box_stays_below_the_minimum_score() -> None:
    boxes, _ = random_boxes(3, 8)
    _, kept = soft_nms(boxes, torch.tensor([0.02, 0.04, 0.03]), min_score=0.05)
    assert kept.tolist() == [1]


def test_boxes_without_area_overlap_nothing() -> None:
    boxes = torch.tensor([[4.0, 3.0, 4.0, 3.0], [4.0, 3.0, 4.0, 3.0]])
    detections, kept = soft_nms(boxes, torch.tensor([0.5, 0.75]), method="gaussian")
    assert kept.tolist() == [1, 0]
    assert detections[:, 4].tolist() == [0.75, 0.5]


def test_no_boxes() -> None:
    detections, kept = soft_nms(torch.zeros(0, 4), torch.zeros(0))
    assert detections.shape == (0, 5)
    assert kept.shape == (0,)
    assert kept.dtype == torch.long


def test_inputs_are_not_modified() -> None:
    boxes, scores = random_boxes(10, 9)
    before = boxes.clone(), scores.clone()
    soft_nms(boxes, scores, method="gaussian")
    assert torch.equal(boxes, before[0])
    assert torch.equal(scores, before[1])


def test_within_batched_nms() -> None:
    boxes, scores = random_boxes(20, 10, torch.float64)
    classes = torch.zeros(20, dtype=torch.long)
    detections, kept = batched_nms(boxes, scores, classes, {"type": "soft_nms", "iou_threshold": 0.3})
    expected, decayed = naive_soft_nms(boxes, scores, "linear")
    assert kept.tolist() == expected
    torch.testing.assert_close(detections[:, 4], torch.tensor(decayed, dtype=torch.float64))
