"""Sigmoid focal loss, forward and backward.

Lin et al., Focal Loss for Dense Object Detection, ICCV 2017, equation 5 and appendix B.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from opanas_cli.detection.operators.kernels import widen


def sigmoid_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Write the loss of every logit of `input` (N, C) into `output` (N, C).

    `target` (N,) holds class numbers; one outside of 0 to C - 1 is background. `weight` is (C,) or empty and counts by
    the class of the row; a background row counts once (compiled mmcv reads past the end there).
    """
    (logits,) = widen(input)
    p, q = logits.sigmoid(), (-logits).sigmoid()
    positive = -alpha * q**gamma * logsigmoid(logits)
    negative = -(1 - alpha) * p**gamma * logsigmoid(-logits)
    output.copy_(_choose(positive, negative, target, weight))


def sigmoid_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """Write the derivative of each loss by its own logit into `grad_input` (N, C)."""
    (logits,) = widen(input)
    p, q = logits.sigmoid(), (-logits).sigmoid()
    positive = -alpha * q**gamma * (q - gamma * p * logsigmoid(logits))
    negative = -(1 - alpha) * p**gamma * (gamma * q * logsigmoid(-logits) - p)
    grad_input.copy_(_choose(positive, negative, target, weight))


def _choose(positive: Tensor, negative: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    num_classes = positive.shape[1]
    classes = torch.arange(num_classes, device=target.device)
    chosen = torch.where(target[:, None] == classes, positive, negative)
    if not weight.numel():
        return chosen
    foreground = (target >= 0) & (target < num_classes)
    by_row = torch.where(foreground, weight[target.clamp(0, num_classes - 1)].to(chosen), chosen.new_ones(()))
    return chosen * by_row[:, None]
