"""Deformable convolution and its modulated version, forward and backward.

Dai et al., Deformable Convolutional Networks, ICCV 2017, equation 2; Zhu et al., Deformable ConvNets v2, CVPR 2019,
equation 1. `input` is (B, C_in, H, W), `offset` (B, deformable_group * kH * kW * 2, H_out, W_out), y before x, and
`mask` (B, deformable_group * kH * kW, H_out, W_out). mmcv passes all integers by keyword. Its buffers `columns` and
`ones` and its `im2col_step` steer the compiled code's use of memory and change no result: they stay unused.
"""

from __future__ import annotations

import torch
from torch import Tensor

from opanas_cli.detection.operators.kernels import kernels, widen


def deform_conv_forward(
    input: Tensor, weight: Tensor, offset: Tensor, output: Tensor, columns: Tensor, ones: Tensor, **sizes: int
) -> None:
    """Convolve `input` at shifted positions into `output` (B, C_out, H_out, W_out)."""
    input, weight, offset = widen(input, weight, offset)
    unused = _no_mask_nor_bias(input, weight)
    output.copy_(kernels.deform_conv2d(input, weight, offset, *unused, *_geometry(sizes), False))


def deform_conv_backward_input(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_input: Tensor,
    grad_offset: Tensor,
    weight: Tensor,
    columns: Tensor,
    **sizes: int,
) -> None:
    """Write the gradients of the features and of the offsets."""
    from_input, _, from_offset = _backward(grad_output, input, weight, offset, sizes)
    grad_input.copy_(from_input)
    grad_offset.copy_(from_offset)


def deform_conv_backward_parameters(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_weight: Tensor,
    columns: Tensor,
    ones: Tensor,
    scale: float,
    **sizes: int,
) -> None:
    """Write `scale` times the gradient of the weights; their values do not enter it, only their shape."""
    _, from_weight, _ = _backward(grad_output, input, torch.zeros_like(grad_weight), offset, sizes)
    grad_weight.copy_(scale * from_weight)


def modulated_deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    output: Tensor,
    columns: Tensor,
    with_bias: bool,
    **sizes: int,
) -> None:
    """Convolve `input`, shifted and weighted by `mask`, into `output` (B, C_out, H_out, W_out)."""
    tensors = widen(input, weight, offset, mask, _bias(bias, weight, with_bias))
    output.copy_(kernels.deform_conv2d(*tensors, *_geometry(sizes), True))


def modulated_deform_conv_backward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    columns: Tensor,
    grad_input: Tensor,
    grad_weight: Tensor,
    grad_bias: Tensor,
    grad_offset: Tensor,
    grad_mask: Tensor,
    grad_output: Tensor,
    with_bias: bool,
    **sizes: int,
) -> None:
    """Write the gradients of the features, weights, offsets and masks, and of the bias if there is one."""
    tensors = widen(grad_output, input, weight, offset, mask, _bias(bias, weight, with_bias))
    gradients = kernels._deform_conv2d_backward(*tensors, *_geometry(sizes), True)
    for target, gradient in zip((grad_input, grad_weight, grad_offset, grad_mask), gradients, strict=False):
        target.copy_(gradient)
    if with_bias:
        grad_bias.copy_(gradients[-1])


def _geometry(sizes: dict[str, int]) -> list[int]:
    """Strides, paddings, dilations and groups as torchvision takes them; mmcv's two versions spell them differently."""
    names = ["stride_h", "stride_w", "pad_h", "pad_w", "dilation_h", "dilation_w"]
    if "dH" in sizes:
        names = ["dH", "dW", "padH", "padW", "dilationH", "dilationW"]
    return [sizes[name] for name in (*names, "group", "deformable_group")]


def _backward(
    grad_output: Tensor, input: Tensor, weight: Tensor, offset: Tensor, sizes: dict[str, int]
) -> tuple[Tensor, Tensor, Tensor]:
    grad_output, input, weight, offset = widen(grad_output, input, weight, offset)
    grad_input, grad_weight, grad_offset, _, _ = kernels._deform_conv2d_backward(
        grad_output, input, weight, offset, *_no_mask_nor_bias(input, weight), *_geometry(sizes), False
    )
    return grad_input, grad_weight, grad_offset


def _no_mask_nor_bias(input: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    # torchvision takes the batch size from a mask that it does not use otherwise
    return input.new_zeros(len(input), 1), input.new_zeros(len(weight))


def _bias(bias: Tensor, weight: Tensor, with_bias: bool) -> Tensor:
    # mmcv passes an empty tensor if there is none; torchvision needs one value per output channel
    return bias if with_bias else weight.new_zeros(len(weight))
