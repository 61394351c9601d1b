"""Deformable convolution, forward and backward.

Dai et al., Deformable Convolutional Networks, ICCV 2017, equation 2. `offset` is
(B, deformable_group * kH * kW * 2, H_out, W_out), y before x. mmcv's buffers `columns` and `ones` and its
`im2col_step` steer the compiled code's use of memory and change no result: they stay unused.
"""

from __future__ import annotations

import torch
from torch import Tensor

from opanas_cli.detection.operators.kernels import kernels, widen


def deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    output: Tensor,
    columns: Tensor,
    ones: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    im2col_step: int,
) -> None:
    """Convolve `input` (B, C_in, H, W) at shifted positions into `output` (B, C_out, H_out, W_out)."""
    input, weight, offset = widen(input, weight, offset)
    geometry = (dH, dW, padH, padW, dilationH, dilationW, group, deformable_group)
    output.copy_(kernels.deform_conv2d(input, weight, offset, *_no_mask_nor_bias(input, weight), *geometry, False))


def deform_conv_backward_input(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_input: Tensor,
    grad_offset: Tensor,
    weight: Tensor,
    columns: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    im2col_step: int,
) -> None:
    """Write the gradients of the features and of the offsets."""
    geometry = (dH, dW, padH, padW, dilationH, dilationW, group, deformable_group)
    from_input, _, from_offset = _backward(grad_output, input, weight, offset, geometry)
    grad_input.copy_(from_input)
    grad_offset.copy_(from_offset)


def deform_conv_backward_parameters(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_weight: Tensor,
    columns: Tensor,
    ones: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    scale: float,
    im2col_step: int,
) -> None:
    """Write `scale` times the gradient of the weights; their values do not enter it, only their shape."""
    geometry = (dH, dW, padH, padW, dilationH, dilationW, group, deformable_group)
    _, from_weight, _ = _backward(grad_output, input, torch.zeros_like(grad_weight), offset, geometry)
    grad_weight.copy_(scale * from_weight)


def _backward(
    grad_output: Tensor, input: Tensor, weight: Tensor, offset: Tensor, geometry: tuple[int, ...]
) -> tuple[Tensor, Tensor, Tensor]:
    grad_output, input, weight, offset = widen(grad_output, input, weight, offset)
    grad_input, grad_weight, grad_offset, _, _ = kernels._deform_conv2d_backward(
        grad_output, input, weight, offset, *_no_mask_nor_bias(input, weight), *geometry, False
    )
    return grad_input, grad_weight, grad_offset


def _no_mask_nor_bias(input: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    # torchvision reads the batch's size off a mask that it does not use otherwise
    return input.new_zeros(len(input), 1), input.new_zeros(len(weight))
