"""Deformable convolution by mmcv's own operator: the part of a stand-alone neck that differs for mmdet 2."""

from __future__ import annotations

from mmcv.ops import deform_conv2d as mmcv_deform_conv2d
from torch import Tensor
from torch.nn import functional as F


def deform_conv2d(
    input: Tensor,
    offset: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int = 1,
    padding: int = 0,
) -> Tensor:
    """As `opanas_cli.necks.deformable.deform_conv2d`, whose values it has.

    mmcv refuses inputs that are smaller than the kernel, so such are padded by zeros, as outside of the input.
    """
    height, width = offset.shape[2:]
    below, beside = (max(0, taps - side) for taps, side in zip(weight.shape[2:], input.shape[2:], strict=True))
    if below or beside:
        input = F.pad(input, (0, beside, 0, below))
        sides = [
            (side + 2 * padding - taps) // stride + 1
            for side, taps in zip(input.shape[2:], weight.shape[2:], strict=True)
        ]
        offset = F.pad(offset, (0, sides[1] - width, 0, sides[0] - height))
    output = mmcv_deform_conv2d(input, offset, weight, stride, padding)
    output = output[:, :, :height, :width]
    return output if bias is None else output + bias.view(1, -1, 1, 1)
