"""Both deformable convolutions; the first is the second with a mask of ones."""

import math
from collections.abc import Mapping

import pytest
import torch
from mmcv.ops import DeformConv2d, DeformConv2dPack, ModulatedDeformConv2d, ModulatedDeformConv2dPack
from torch import Tensor

Case = Mapping[str, int | tuple[int, int]]

CASES: Mapping[str, Case] = {
    "plain": {},
    "stride 2": {"stride": 2},
    "dilation 2": {"padding": 2, "dilation": 2},
    "no padding": {"padding": 0},
    "oblong": {"stride": (2, 1), "padding": (1, 2), "dilation": (1, 2)},
    "groups": {"groups": 2},
    "deformable groups": {"deform_groups": 2},
    "all": {"groups": 2, "deform_groups": 4, "stride": 2, "padding": 2, "dilation": 2},
}
KERNEL = (3, 2)
GEOMETRY = {"stride": 1, "padding": 1, "dilation": 1}


def pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return value if isinstance(value, tuple) else (value, value)


def naive_sample(plane: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Bilinear value of (C, H, W) features at one point, with zeros around them."""
    height, width = plane.shape[1:]
    value = plane.new_zeros(len(plane))
    top, left = math.floor(y.item()), math.floor(x.item())
    for row in (top, top + 1):
        for column in (left, left + 1):
            if 0 <= row < height and 0 <= column < width:
                value = value + plane[:, row, column] * (1 - (y - row).abs()) * (1 - (x - column).abs())
    return value


def naive_deform_conv(
    input: Tensor,
    offset: Tensor,
    mask: Tensor,
    weight: Tensor,
    bias: Tensor,
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 1,
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
    deform_groups: int = 1,
) -> Tensor:
    batch, channels = input.shape[:2]
    kernel_height, kernel_width = weight.shape[2:]
    height, width = offset.shape[2:]
    (stride_y, stride_x), (pad_y, pad_x), (step_y, step_x) = pair(stride), pair(padding), pair(dilation)
    offset = offset.view(batch, deform_groups, kernel_height, kernel_width, 2, height, width)
    mask = mask.view(batch, deform_groups, kernel_height, kernel_width, height, width)
    images = []
    for b in range(batch):
        pixels = []
        for i in range(height):
            for j in range(width):
                taps = []
                for u in range(kernel_height):
                    for v in range(kernel_width):
                        values = []
                        for d, plane in enumerate(input[b].chunk(deform_groups)):
                            dy, dx = offset[b, d, u, v, :, i, j]
                            y = i * stride_y - pad_y + u * step_y + dy
                            x = j * stride_x - pad_x + v * step_x + dx
                            values.append(naive_sample(plane, y, x) * mask[b, d, u, v, i, j])
                        taps.append(torch.cat(values))
                columns = torch.stack(taps, dim=1).view(groups, channels // groups, kernel_height, kernel_width)
                filters = weight.view(groups, -1, *weight.shape[1:])
                pixels.append((filters * columns[:, None]).sum(dim=(2, 3, 4)).flatten() + bias)
        images.append(torch.stack(pixels, dim=1).view(-1, height, width))
    return torch.stack(images)


def tensors(case: Case, seed: int = 0) -> list[Tensor]:
    """Input, offset, mask, weight and bias in float64 for a convolution of (2, 4, 5, 6) to 6 channels."""
    generator = torch.Generator().manual_seed(seed)
    strides, paddings, dilations = (pair(case.get(key, default)) for key, default in GEOMETRY.items())
    sizes = [
        (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
        for size, kernel, stride, padding, dilation in zip((5, 6), KERNEL, strides, paddings, dilations, strict=True)
    ]
    taps = case.get("deform_groups", 1) * KERNEL[0] * KERNEL[1]
    shapes = [(2, 4, 5, 6), (2, 2 * taps, *sizes), (2, taps, *sizes), (6, 4 // case.get("groups", 1), *KERNEL), (6,)]
    input, offset, mask, weight, bias = (
        torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes
    )
    return [input, offset * 1.5, mask.sigmoid(), weight, bias]


def leaves(values: list[Tensor], device: torch.device, dtype: torch.dtype) -> list[Tensor]:
    return [value.to(device, dtype, copy=True).requires_grad_() for value in values]


def convolution(kind: type, case: Case, **options: bool) -> DeformConv2d | ModulatedDeformConv2d:
    return kind(4, 6, KERNEL, **{"padding": 1, **case}, **options)


def apply(module: DeformConv2d | ModulatedDeformConv2d, values: list[Tensor]) -> Tensor:
    """The module's output with weight and bias of `values`, through which gradients flow."""
    input, offset, mask, weight, bias = values
    parameters = {"weight": weight}
    arguments = (input, offset)
    if isinstance(module, ModulatedDeformConv2d):
        arguments = (input, offset, mask)
        if module.bias is not None:
            parameters["bias"] = bias
    return torch.func.functional_call(module, parameters, arguments)


def neutral(values: list[Tensor], kind: type, with_bias: bool) -> list[Tensor]:
    """`values` with what the module leaves out set to what changes nothing."""
    input, offset, mask, weight, bias = values
    mask = mask if kind is ModulatedDeformConv2d else torch.ones_like(mask)
    return [input, offset, mask, weight, bias if with_bias else torch.zeros_like(bias)]


KINDS = [
    pytest.param(DeformConv2d, False, id="v1"),
    pytest.param(ModulatedDeformConv2d, False, id="v2"),
    pytest.param(ModulatedDeformConv2d, True, id="v2-bias"),
]


@pytest.mark.parametrize("kind, with_bias", KINDS)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_forward_and_gradients(device: torch.device, case: Case, kind: type, with_bias: bool) -> None:
    values = neutral(tensors(case), kind, with_bias)
    reference = leaves(values, torch.device("cpu"), torch.float64)
    expected = naive_deform_conv(*reference, **case)
    seed_gradient = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    expected.backward(seed_gradient)
    used = [True, True, kind is ModulatedDeformConv2d, True, with_bias]

    for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-4)):
        given = leaves(values, device, dtype)
        output = apply(convolution(kind, case, bias=with_bias), given)
        output.backward(seed_gradient.to(output))
        assert output.dtype == dtype
        torch.testing.assert_close(output.cpu().double(), expected, rtol=tolerance, atol=tolerance)
        for is_used, mine, theirs in zip(used, given, reference, strict=True):
            if is_used:
                torch.testing.assert_close(mine.grad.cpu().double(), theirs.grad, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("kind, with_bias", KINDS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_under_autocast(device: torch.device, dtype: torch.dtype, kind: type, with_bias: bool) -> None:
    """Parameters and features in float32, offsets narrow because a convolution under autocast computed them."""
    case = CASES["deformable groups"]
    rounded = [value.to(dtype).double() for value in neutral(tensors(case), kind, with_bias)]
    expected = naive_deform_conv(*rounded, **case)
    given = [value.to(device, torch.float32) for value in rounded]
    given[1:3] = [value.to(dtype) for value in given[1:3]]
    given = [value.requires_grad_() for value in given]
    with torch.autocast(device.type, dtype=dtype):
        output = apply(convolution(kind, case, bias=with_bias), given)
    output.float().square().sum().backward()
    assert output.dtype == dtype
    torch.testing.assert_close(output.detach().cpu().double(), expected, rtol=3e-2, atol=3e-2)
    assert given[0].grad.dtype == torch.float32
    assert all(given[i].grad.isfinite().all() and given[i].grad.any() for i in (0, 1, 3))


@pytest.mark.parametrize("kind", [DeformConv2dPack, ModulatedDeformConv2dPack])
def test_the_whole_layer_trains_under_autocast(device: torch.device, kind: type) -> None:
    layer = kind(4, 6, 3, padding=1).to(device)
    features = torch.randn(2, 4, 5, 6, device=device, requires_grad=True)
    with torch.autocast(device.type, dtype=torch.bfloat16):
        output = layer(features)
    output.float().square().sum().backward()
    assert all(parameter.grad.any() for parameter in (features, layer.weight, layer.conv_offset.weight))


@pytest.mark.parametrize("kind, with_bias", KINDS)
def test_strided_inputs(device: torch.device, kind: type, with_bias: bool) -> None:
    case = CASES["plain"]
    module = convolution(kind, case, bias=with_bias)
    plain = leaves(tensors(case), device, torch.float64)
    strided = [value.to(memory_format=torch.channels_last) if value.dim() == 4 else value for value in tensors(case)]
    strided = leaves(strided, device, torch.float64)
    assert not strided[0].is_contiguous()
    outputs = [apply(module, values) for values in (plain, strided)]
    weights = torch.randn(2, 6, *outputs[0].shape[:1:-1], device=device, dtype=torch.float64).transpose(2, 3)
    for output in outputs:
        output.backward(weights)
    torch.testing.assert_close(outputs[1], outputs[0])
    for i in (0, 1, 3):
        torch.testing.assert_close(strided[i].grad, plain[i].grad)


def test_frozen_features_still_train_the_weights() -> None:
    values = tensors(CASES["plain"])
    whole, weights_only = (leaves(values, torch.device("cpu"), torch.float64) for _ in range(2))
    for value in weights_only[:2]:
        value.requires_grad_(False)
    for given in (whole, weights_only):
        apply(convolution(DeformConv2d, {}), given).sum().backward()
    assert torch.equal(whole[3].grad, weights_only[3].grad)


def test_a_batch_larger_than_the_memory_step() -> None:
    generator = torch.Generator().manual_seed(2)
    features = torch.randn(4, 2, 5, 5, generator=generator, dtype=torch.float64)
    offset = torch.randn(4, 18, 5, 5, generator=generator, dtype=torch.float64)
    at_once = DeformConv2d(2, 3, 3, padding=1).double()
    in_steps = DeformConv2d(2, 3, 3, padding=1, im2col_step=2).double()
    in_steps.load_state_dict(at_once.state_dict())
    torch.testing.assert_close(in_steps(features, offset), at_once(features, offset))


def test_an_image_smaller_than_the_kernel() -> None:
    assert DeformConv2d(2, 3, 3, padding=1)(torch.randn(1, 2, 2, 2), torch.zeros(1, 18, 2, 2)).shape == (1, 3, 2, 2)


@pytest.mark.parametrize("kind, with_bias", KINDS)
def test_gradcheck(kind: type, with_bias: bool) -> None:
    values = neutral(tensors(CASES["all"]), kind, with_bias)
    module = convolution(kind, CASES["all"], bias=with_bias)
    used = [0, 1, 3] + [2] * (kind is ModulatedDeformConv2d) + [4] * with_bias
    given = [value.requires_grad_(i in used) for i, value in enumerate(values)]
    assert torch.autograd.gradcheck(lambda *given: apply(module, list(given)), given, fast_mode=True)
