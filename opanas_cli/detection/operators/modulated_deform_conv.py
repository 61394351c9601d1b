"""Modulated deformable convolution (DCNv2), forward and backward.

Zhu et al., Deformable ConvNets v2, CVPR 2019, equation 1. `offset` is
(B, deformable_group * kH * kW * 2, H_out, W_out), y before x, and `mask` (B, deformable_group * kH * kW, H_out, W_out).
mmcv's buffers `ones` and `columns` stay unused.
"""

from __future__ import annotations

from torch import Tensor

from opanas_cli.detection.operators.kernels import kernels, widen


def modulated_deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    output: Tensor,
    columns: Tensor,
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    group: int,
    deformable_group: int,
    with_bias: bool,
) -> None:
    """Convolve `input` (B, C_in, H, W), shifted and weighted by `mask`, into `output` (B, C_out, H_out, W_out)."""
    geometry = (stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, group, deformable_group)
    input, weight, offset, mask, bias = widen(input, weight, offset, mask, _bias(bias, weight, with_bias))
    output.copy_(kernels.deform_conv2d(input, weight, offset, mask, bias, *geometry, True))


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
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    group: int,
    deformable_group: int,
    with_bias: bool,
) -> None:
    """Write the gradients of the features, weights, offsets and masks, and of the bias if there is one."""
    geometry = (stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, group, deformable_group)
    tensors = widen(grad_output, input, weight, offset, mask, _bias(bias, weight, with_bias))
    gradients = kernels._deform_conv2d_backward(*tensors, *geometry, True)
    for target, gradient in zip((grad_input, grad_weight, grad_offset, grad_mask), gradients, strict=False):
        target.copy_(gradient)
    if with_bias:
        grad_bias.copy_(gradients[-1])


def _bias(bias: Tensor, weight: Tensor, with_bias: bool) -> Tensor:
    # mmcv hands over an empty tensor if there is none; torchvision wants one value per output channel
    return bias if with_bias else weight.new_zeros(len(weight))
