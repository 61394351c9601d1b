"""The steps of DARTS and Fair DARTS against passes of the whole detector, and gradients against their definitions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope
from test_super_net_detector import batch
from tiny_config import tiny_config
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from opanas_cli.detection.training.mixture_detector import MixtureDetector, MixtureOptimizers, zero_one_loss
from opanas_cli.necks.mixture import WEIGHTINGS, run_mixture

LR = 0.05


def build(root: Path, **options: Any) -> MixtureDetector:
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope("mmdet"):
        model = MixtureDetector(tiny_config(root).model, l1_weight=0.25, **options)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "offset" in name or name == "architecture" or "edge_importance" in name:
                parameter += 0.1 * torch.randn_like(parameter)
    return model.double().train()


def optimizers(model: MixtureDetector, paramwise_cfg: dict[str, Any] | None = None) -> Any:
    wrapper = dict(optimizer=dict(type="SGD", lr=LR), architecture=dict(lr=0.1, weight_decay=0.0))
    return MixtureOptimizers(wrapper, paramwise_cfg)(model)


def both() -> dict[str, Any]:
    other = batch()
    other["inputs"] = [image.flip(-1) for image in other["inputs"]]
    return {"training": batch(), "held_out": other}


def loss_of_a_full_pass(model: MixtureDetector, data: Any) -> Tensor:
    neck = model.detector.neck
    weights = WEIGHTINGS[model.method](model.architecture)
    neck.forward = lambda features: run_mixture(neck, neck.project(features), weights)
    torch.manual_seed(1)
    prepared = model.data_preprocessor(data, True)
    loss, _ = model.detector.parse_losses(model.detector.loss(prepared["inputs"], prepared["data_samples"]))
    return loss + model.l1_weight * neck.edge_importance.abs().sum()


@pytest.mark.parametrize("method", ["darts", "fair-darts"])
def test_gradients_are_those_of_a_full_pass(shapes_root: Path, method: str) -> None:
    model, slow = build(shapes_root, method=method), build(shapes_root, method=method)
    expected = loss_of_a_full_pass(slow, batch())
    expected.backward()
    for inputs in ([model.architecture], model._weights()):
        torch.manual_seed(1)
        logs = model._backward(batch(), OptimWrapper(torch.optim.SGD(model.parameters(), lr=LR)), inputs)
        assert torch.allclose(logs["loss"], expected, rtol=1e-12)
        wanted = {id(parameter) for parameter in inputs}
        for (name, parameter), other in zip(model.named_parameters(), slow.parameters(), strict=True):
            if id(parameter) in wanted:
                assert torch.allclose(parameter.grad, other.grad, rtol=1e-9, atol=1e-11), name
            elif inputs[0] is model.architecture:
                assert parameter.grad is None, f"{name} has a gradient of held-out images"
    assert model.architecture.grad.abs().sum() > 0


def test_a_step_trains_each_part_on_its_own_images(shapes_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = build(shapes_root, method="fair-darts")
    ran: list[tuple[bool, bool]] = []
    backward = model._backward

    def recorded(data: Any, wrapper: OptimWrapper, inputs: list[Any]) -> dict[str, Tensor]:
        statistics = [norm.running_mean.clone() for norm in model.modules() if isinstance(norm, _BatchNorm)]
        logs = backward(data, wrapper, inputs)
        after = [norm.running_mean for norm in model.modules() if isinstance(norm, _BatchNorm)]
        kept = all(map(torch.equal, statistics, after))
        ran.append((torch.equal(data["inputs"][0], held_out), kept))
        return logs

    data = both()
    held_out = data["held_out"]["inputs"][0]
    monkeypatch.setattr(model, "_backward", recorded)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    logs = model.train_step(data, optimizers(model))
    assert ran == [(True, True), (False, False)]
    assert {"loss", "loss_cls", "edge_l1", "held_out_loss"} <= set(logs)
    assert int(model.step) == 1
    assert [name for name, parameter in model.named_parameters() if torch.equal(parameter, before[name])] == []
    assert all(parameter.grad is None or not parameter.grad.any() for parameter in model.parameters())


def test_the_zero_one_loss_is_that_by_hand() -> None:
    weights = torch.tensor([[0.5, 0.9], [0.2, 0.5]])
    assert zero_one_loss(weights.logit()) == pytest.approx(-(0.4**2 + 0.3**2) / 4)


def test_the_zero_one_loss_drives_weights_apart(shapes_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = build(shapes_root, method="fair-darts", zero_one_weight=1.0)
    monkeypatch.setattr(model, "_backward", lambda *_: {"loss": torch.zeros(())})
    before = model.architecture.detach().clone()
    model.train_step(both(), optimizers(model))
    assert ((model.architecture - before).sign() == before.sign()).all()


class Smooth(MixtureDetector):
    """A function in place of a detector, of which autograd gives derivatives of second order."""

    def __init__(self) -> None:
        BaseModel.__init__(self)
        torch.manual_seed(0)
        self.detector = torch.nn.Linear(6, 4)
        self.architecture = torch.nn.Parameter(torch.randn(3, 6))
        self.double()

    def loss_of(self, batch: Tensor, weights: dict[str, Tensor]) -> Tensor:
        seen = torch.func.functional_call(self.detector, weights, (batch * self.architecture.softmax(1),))
        return (seen.tanh() - 0.3).square().sum()

    def _backward(self, batch: Any, optim_wrapper: OptimWrapper, inputs: Any) -> dict[str, Tensor]:
        loss = self.loss_of(batch, dict(self.detector.named_parameters()))
        optim_wrapper.backward(loss, inputs=inputs)
        return {"loss": loss.detach()}


def test_the_second_order_gradient_is_that_of_the_loss_a_step_ahead() -> None:
    """DARTS, Eq. 6, with the dependence of the step on the architecture, which the first order leaves out."""
    model = Smooth()
    data = {"training": torch.randn(3, 6).double(), "held_out": torch.randn(3, 6).double()}
    weights = {name: weight.detach().clone().requires_grad_() for name, weight in model.detector.named_parameters()}
    rates = {"weight": 0.1 * LR, "bias": LR}
    slopes = torch.autograd.grad(model.loss_of(data["training"], weights), weights.values(), create_graph=True)
    ahead = {name: weight - rates[name] * slope for (name, weight), slope in zip(weights.items(), slopes, strict=True)}
    loss = model.loss_of(data["held_out"], ahead)
    (expected,) = torch.autograd.grad(loss, model.architecture, retain_graph=True)
    (first_order,) = torch.autograd.grad(model.loss_of(data["held_out"], weights), model.architecture)

    wrapper = optimizers(model, dict(custom_keys=dict(weight=dict(lr_mult=0.1))))["weights"]
    found = model._look_ahead(data, wrapper)

    assert float(found) == pytest.approx(float(loss.detach()), rel=1e-12)
    assert torch.allclose(model.architecture.grad, expected, rtol=1e-3, atol=1e-6)
    assert not torch.allclose(first_order, expected, rtol=1e-1, atol=1e-6)
    for name, weight in model.detector.named_parameters():
        assert torch.equal(weight, weights[name])
        assert weight.grad is None


def test_a_second_order_step_of_a_detector(shapes_root: Path) -> None:
    model = build(shapes_root, second_order=True)
    before = model.architecture.detach().clone()
    torch.manual_seed(0)
    logs = model.train_step(both(), optimizers(model))
    assert all(value.isfinite() for value in logs.values())
    assert (model.architecture != before).any(dim=1).all()
