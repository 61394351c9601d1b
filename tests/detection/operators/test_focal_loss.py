import math

import pytest
import torch
from mmcv.ops import SigmoidFocalLoss, sigmoid_focal_loss

NUM_CLASSES = 4


def naive_focal_loss(
    logits: torch.Tensor, target: torch.Tensor, gamma: float, alpha: float, weight: torch.Tensor | None = None
) -> torch.Tensor:
    rows = []
    for n, label in enumerate(target.tolist()):
        row = []
        for c in range(logits.shape[1]):
            p = 1 / (1 + torch.exp(-logits[n, c]))
            p_t, alpha_t = (p, alpha) if c == label else (1 - p, 1 - alpha)
            counted = weight[label] if weight is not None and 0 <= label < logits.shape[1] else 1.0
            row.append(-alpha_t * (1 - p_t) ** gamma * torch.log(p_t) * counted)
        rows.append(torch.stack(row))
    return torch.stack(rows)


def example() -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (7, C) in float64 and labels with background, whose number is C."""
    logits = torch.randn(7, NUM_CLASSES, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 3
    return logits, torch.tensor([0, 1, 2, 3, 4, 4, 1])


@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-10), (torch.float32, 1e-5)])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("gamma, alpha", [(2.0, 0.25), (1.5, 0.6), (0.0, 0.5)])
@pytest.mark.parametrize("weighted", [False, True])
def test_forward_and_gradient(
    device: torch.device,
    dtype: torch.dtype,
    tolerance: float,
    reduction: str,
    gamma: float,
    alpha: float,
    weighted: bool,
) -> None:
    logits, target = example()
    logits.requires_grad_()
    weight = torch.tensor([0.5, 1.0, 2.0, 3.0], dtype=torch.float64) if weighted else None
    losses = naive_focal_loss(logits, target, gamma, alpha, weight)
    expected = {"none": losses, "sum": losses.sum(), "mean": losses.sum() / len(target)}[reduction]
    seed_gradient = torch.linspace(0.5, 2.0, expected.numel(), dtype=torch.float64).reshape(expected.shape)
    (expected_gradient,) = torch.autograd.grad(expected, logits, seed_gradient)

    given = logits.detach().to(device, dtype).requires_grad_()
    module = SigmoidFocalLoss(gamma, alpha, None if weight is None else weight.to(dtype), reduction).to(device)
    output = module(given, target.to(device))
    output.backward(seed_gradient.to(output))
    assert output.dtype == dtype
    torch.testing.assert_close(output.cpu().double(), expected, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(given.grad.cpu().double(), expected_gradient, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_under_autocast(device: torch.device, dtype: torch.dtype) -> None:
    logits, target = example()
    given = logits.to(device, dtype).requires_grad_()
    with torch.autocast(device.type, dtype=dtype):
        output = sigmoid_focal_loss(given, target.to(device), 2.0, 0.25, None, "none")
    output.sum().backward()
    expected = naive_focal_loss(given.detach().cpu().double(), target, 2.0, 0.25)
    assert output.dtype == given.grad.dtype == dtype
    torch.testing.assert_close(output.detach().cpu().double(), expected, rtol=1e-2, atol=1e-3)


def test_huge_logits_have_finite_losses_and_gradients(device: torch.device) -> None:
    logits = torch.tensor([[200.0, -200.0], [-200.0, 200.0]], device=device, requires_grad=True)
    losses = sigmoid_focal_loss(logits, torch.tensor([0, 0], device=device), 2.0, 0.25, None, "none")
    losses.sum().backward()
    torch.testing.assert_close(losses.detach().cpu(), torch.tensor([[0.0, 0.0], [0.25 * 200, 0.75 * 200]]))
    torch.testing.assert_close(logits.grad.cpu(), torch.tensor([[0.0, 0.0], [-0.25, 0.75]]))


def test_hand_computed_value() -> None:
    loss = sigmoid_focal_loss(torch.zeros(1, 1), torch.tensor([0]), 2.0, 0.25, None, "sum")
    assert loss.item() == pytest.approx(0.25 * 0.5**2 * math.log(2))


def test_no_rows(device: torch.device) -> None:
    logits = torch.zeros(0, NUM_CLASSES, device=device, requires_grad=True)
    output = sigmoid_focal_loss(logits, torch.zeros(0, dtype=torch.long, device=device), 2.0, 0.25, None, "sum")
    output.backward()
    assert output.item() == 0
    assert logits.grad.shape == (0, NUM_CLASSES)


def test_strided_logits() -> None:
    logits, target = example()
    strided = logits.t().contiguous().t()
    assert not strided.is_contiguous()
    assert torch.equal(
        sigmoid_focal_loss(strided, target, 2.0, 0.25, None, "none"),
        sigmoid_focal_loss(logits, target, 2.0, 0.25, None, "none"),
    )


def test_gradcheck() -> None:
    logits, target = example()
    assert torch.autograd.gradcheck(
        lambda x: sigmoid_focal_loss(x, target, 2.0, 0.25, None, "none"), logits.requires_grad_()
    )
