from __future__ import annotations

import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_neck import loop_deform_conv2d, randomise
from torch.nn import functional as F

from opanas_cli.necks.deformable import DeformableConv2d, deform_conv2d

GEOMETRIES = st.tuples(st.sampled_from([(3, 3), (1, 1), (3, 2)]), st.integers(1, 3), st.integers(0, 2))
"""Kernel, stride, padding."""


def tensors(size, geometry=((3, 3), 1, 1), channels=(2, 3), batch=2, seed=0, scale=2.0):
    kernel, stride, padding = geometry
    outputs = [(n + 2 * padding - k) // stride + 1 for n, k in zip(size, kernel, strict=True)]
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    offset = scale * normal(batch, 2 * kernel[0] * kernel[1], *outputs)
    return [normal(batch, channels[0], *size), offset, normal(channels[1], channels[0], *kernel), normal(channels[1])]


@settings(deadline=None, max_examples=15)
@given(st.tuples(st.integers(5, 7), st.integers(5, 7)), GEOMETRIES, st.integers(0, 99))
def test_agrees_with_the_definition_pixel_by_pixel(size, geometry, seed):
    arguments = tensors(size, geometry, seed=seed, batch=1)
    expected = loop_deform_conv2d(*arguments, *geometry[1:])
    assert torch.allclose(deform_conv2d(*arguments, *geometry[1:]), expected, atol=1e-12)


@settings(deadline=None, max_examples=40)
@given(st.tuples(st.integers(5, 9), st.integers(5, 9)), GEOMETRIES, st.integers(0, 99))
def test_values_and_gradients_agree_with_torchvision(size, geometry, seed):
    arguments = [tensor.requires_grad_() for tensor in tensors(size, geometry, seed=seed)]
    stride, padding = geometry[1:]
    ours = deform_conv2d(*arguments, *geometry[1:])
    theirs = torchvision.ops.deform_conv2d(*arguments, stride=stride, padding=padding)
    assert torch.allclose(ours, theirs, atol=1e-10)
    weights = torch.linspace(-1, 1, ours.numel(), dtype=torch.float64).reshape(ours.shape)
    for got, expected in zip(
        torch.autograd.grad(ours, arguments, weights), torch.autograd.grad(theirs, arguments, weights), strict=True
    ):
        assert torch.allclose(got, expected, atol=1e-10)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(1, 1), (1, 6), (7, 5)])
def test_without_offsets_it_is_the_plain_convolution(size, stride):
    input, offset, weight, bias = tensors(size, ((3, 3), stride, 1), scale=0.0)
    expected = F.conv2d(input, weight, bias, stride, padding=1)
    assert torch.allclose(deform_conv2d(input, offset, weight, bias, stride, 1), expected, atol=1e-12)


@settings(deadline=None, max_examples=20)
@given(st.tuples(st.integers(5, 9), st.integers(5, 9)), GEOMETRIES, st.sampled_from([torch.float32, torch.float64]))
def test_where_only_shapes_are_known_the_result_has_that_of_the_computation(size, geometry, dtype):
    arguments = [tensor.to(dtype) for tensor in tensors(size, geometry)]
    computed = deform_conv2d(*arguments, *geometry[1:])
    found = deform_conv2d(*(tensor.to("meta") for tensor in arguments), *geometry[1:])
    assert found.device.type == "meta"
    assert (found.shape, found.dtype) == (computed.shape, dtype)


def test_far_outside_is_zero():
    input, offset, weight, bias = tensors((4, 4))
    output = deform_conv2d(input, torch.full_like(offset, 1e4), weight, bias, padding=1)
    assert torch.equal(output, bias[:, None, None].expand_as(output))


def test_gradcheck():
    arguments = [tensor.requires_grad_() for tensor in tensors((4, 3), scale=0.3)]
    assert torch.autograd.gradcheck(lambda *a: deform_conv2d(*a, padding=1), arguments)


def test_an_offset_of_the_wrong_shape_is_refused():
    input, offset, weight, bias = tensors((4, 4))
    with pytest.raises(ValueError, match=r"shape \(2, 18, 2, 2\), but got \(2, 18, 4, 4\)"):
        deform_conv2d(input, offset, weight, bias)


def test_the_module_starts_as_a_plain_convolution_and_takes_odd_sizes():
    conv = DeformableConv2d(3, 4, stride=2).double()
    input = torch.randn(2, 3, 7, 5, dtype=torch.float64)
    assert torch.allclose(conv(input), F.conv2d(input, conv.weight, conv.bias, 2, padding=1), atol=1e-12)
    assert conv.bias.abs().max() == 0
    assert set(conv.state_dict()) == {"weight", "bias", "conv_offset.weight", "conv_offset.bias"}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_keeps_positions_precise(dtype):
    conv = randomise(DeformableConv2d(4, 4), std=0.1).float()
    with torch.no_grad():  # Offsets that half precision holds exactly, while positions of this wide input it does not.
        conv.conv_offset.weight.zero_()
        conv.conv_offset.bias.copy_(torch.arange(18) / 4 - 2)
    input = torch.randn(1, 4, 3, 600, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", dtype):
        output = conv(input)
    assert output.dtype == dtype
    assert torch.allclose(output.float(), conv(input), atol=0.05)
    output.float().sum().backward()
    assert all(parameter.grad is not None for parameter in conv.parameters())


def test_a_whole_module_in_half_precision_runs():
    conv = DeformableConv2d(4, 4)
    input = torch.randn(1, 4, 6, 6)
    assert torch.allclose(conv.bfloat16()(input.bfloat16()).float(), conv.float()(input), atol=0.1)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_agrees_with_the_cpu():
    arguments = tensors((9, 7))
    on_gpu = deform_conv2d(*(tensor.cuda() for tensor in arguments), padding=1)
    assert torch.allclose(on_gpu.cpu(), deform_conv2d(*arguments, padding=1), atol=1e-10)
