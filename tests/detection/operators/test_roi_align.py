import math
import sys

import pytest
import torch
from mmcv.ops import RoIAlign

from opanas_cli.detection.operators import MissingOperatorError
from opanas_cli.detection.operators.stand_in import MODULE, StandIn

REGIONS = [
    [0, 2.3, 1.2, 13.9, 9.6],
    [1, -3.1, 4.4, 8.7, 30.2],  # beyond two sides of the image
    [1, 5.2, 5.1, 6.0, 6.3],  # smaller than a pixel of the features
    [0, 40.0, 40.0, 50.0, 50.0],  # outside altogether
]


def naive_bilinear(plane: torch.Tensor, y: float, x: float) -> torch.Tensor:
    """The value of (C, H, W) features at one point; 0 beyond one pixel outside."""
    height, width = plane.shape[1:]
    if y < -1 or y > height or x < -1 or x > width:
        return plane.new_zeros(len(plane))
    y, x = min(max(y, 0.0), height - 1.0), min(max(x, 0.0), width - 1.0)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    above = plane[:, top, left] * (1 - (x - left)) + plane[:, top, right] * (x - left)
    below = plane[:, bottom, left] * (1 - (x - left)) + plane[:, bottom, right] * (x - left)
    return above * (1 - (y - top)) + below * (y - top)


def naive_roi_align(
    features: torch.Tensor,
    regions: torch.Tensor,
    size: tuple[int, int],
    spatial_scale: float = 1.0,
    sampling_ratio: int = 0,
    aligned: bool = True,
) -> torch.Tensor:
    output = features.new_zeros(len(regions), features.shape[1], *size)
    for k, (image, *corners) in enumerate(regions.tolist()):
        x1, y1, x2, y2 = (corner * spatial_scale - 0.5 * aligned for corner in corners)
        smallest = 0.0 if aligned else 1.0
        height, width = max(y2 - y1, smallest) / size[0], max(x2 - x1, smallest) / size[1]
        rows, columns = sampling_ratio or math.ceil(height), sampling_ratio or math.ceil(width)
        for i in range(size[0]):
            for j in range(size[1]):
                samples = [
                    naive_bilinear(
                        features[int(image)],
                        y1 + (i + (a + 0.5) / rows) * height,
                        x1 + (j + (b + 0.5) / columns) * width,
                    )
                    for a in range(rows)
                    for b in range(columns)
                ]
                output[k, :, i, j] = torch.stack(samples).mean(dim=0)
    return output


def features_of(seed: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(2, 3, 9, 11, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("sampling_ratio", [0, 1, 2])
@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-10), (torch.float32, 1e-4)])
def test_forward_and_gradient(
    device: torch.device, dtype: torch.dtype, tolerance: float, sampling_ratio: int, aligned: bool
) -> None:
    features = features_of(0).requires_grad_()
    regions = torch.tensor(REGIONS, dtype=torch.float64)
    expected = naive_roi_align(features, regions, (3, 2), 0.6, sampling_ratio, aligned)
    seed_gradient = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    (expected_gradient,) = torch.autograd.grad(expected, features, seed_gradient)

    given = features_of(0, dtype).to(device).requires_grad_()
    module = RoIAlign((3, 2), 0.6, sampling_ratio, aligned=aligned)
    output = module(given, regions.to(device, dtype))
    output.backward(seed_gradient.to(output))
    assert output.dtype == dtype
    torch.testing.assert_close(output.cpu().double(), expected, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(given.grad.cpu().double(), expected_gradient, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_under_autocast(device: torch.device, dtype: torch.dtype) -> None:
    features = features_of(2, dtype)
    regions = torch.tensor(REGIONS).to(dtype)
    expected = naive_roi_align(features.double(), regions.double(), (2, 2))
    given = features.to(device).requires_grad_()
    with torch.autocast(device.type, dtype=dtype):
        output = RoIAlign((2, 2))(given, regions.to(device))
    output.sum().backward()
    assert output.dtype == dtype
    torch.testing.assert_close(output.detach().cpu().double(), expected, rtol=2e-2, atol=2e-2)
    assert given.grad.isfinite().all()
    assert given.grad.any()


def test_features_and_regions_of_different_types() -> None:
    regions = torch.tensor(REGIONS)
    features = features_of(3, torch.bfloat16)
    expected = naive_roi_align(features.double(), regions.double(), (2, 2))
    output = RoIAlign((2, 2))(features, regions)
    assert output.dtype == torch.bfloat16
    torch.testing.assert_close(output.double(), expected, rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("sampling_ratio", [0, 2])
def test_no_regions(device: torch.device, sampling_ratio: int) -> None:
    features = features_of(4, torch.float32).to(device).requires_grad_()
    output = RoIAlign((3, 2), sampling_ratio=sampling_ratio)(features, torch.zeros(0, 5, device=device))
    output.sum().backward()
    assert output.shape == (0, 3, 3, 2)
    assert torch.equal(features.grad, torch.zeros_like(features))


def test_strided_features_and_gradients() -> None:
    regions = torch.tensor(REGIONS, dtype=torch.float64)
    plain = features_of(5).requires_grad_()
    strided = features_of(5).to(memory_format=torch.channels_last).requires_grad_()
    gradient = torch.randn(4, 3, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(6)).transpose(2, 3)
    assert not strided.is_contiguous()
    assert not gradient.is_contiguous()
    for features in (plain, strided):
        RoIAlign((3, 2))(features, regions).backward(gradient)
    torch.testing.assert_close(strided.grad, plain.grad)


@pytest.mark.skipif(not isinstance(sys.modules[MODULE], StandIn), reason="mmcv's operators are compiled here")
def test_max_pooling_needs_compiled_code() -> None:
    with pytest.raises(MissingOperatorError, match="'roi_align_forward, pool_mode max' needs mmcv's compiled code"):
        RoIAlign((2, 2), pool_mode="max")(features_of(7), torch.tensor(REGIONS, dtype=torch.float64))


def test_gradcheck() -> None:
    regions = torch.tensor(REGIONS[:2], dtype=torch.float64)
    features = features_of(8)[:, :1].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: RoIAlign((2, 2), 0.5, 2)(x, regions), features)
