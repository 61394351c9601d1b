"""A detector whose neck is a super-net, trained as a mixture of all paths together with their weights (DARTS)."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmdet.registry import MODELS
from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper, OptimWrapperDict
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from opanas_cli.detection.evaluating.population_pass import heads_on
from opanas_cli.detection.processes.random_states import random_states_kept
from opanas_cli.detection.processes.replicas import average_gradients, average_statistics, mean_logs, original
from opanas_cli.detection.training.super_net_detector import SuperNetDetector
from opanas_cli.necks.mixture import WEIGHTINGS, run_mixture
from opanas_cli.stage_settings import SuperNetSection

BETAS = (0.5, 0.999)
"""Of Adam for the architecture parameters, as DARTS has them."""

FINITE_DIFFERENCE = 0.01
"""The length of the step of DARTS' finite difference (below Eq. 8)."""


@MODELS.register_module(force=True)
class MixtureDetector(SuperNetDetector):
    """Trains an mmdet detector whose `OPASuperNet` neck runs all paths of all edges at once, by DARTS or Fair DARTS.

    Each step first updates the architecture parameters on held-out images, then all weights on training images. Of the
    held-out ones nothing else is learnt: batch norm's running statistics do not see them either. Several processes
    update on the mean of their gradients.

    Args:
        detector, l1_weight: as of `SuperNetDetector`.
        method: how parameters become weights, a name of `WEIGHTINGS`.
        zero_one_weight: the weight of Fair DARTS' zero-one loss; `darts` has none.
        second_order: whether the architecture parameters' gradient is that after one more step of the weights.

    Attributes:
        architecture: the parameters (edges, paths), 0 at the start, so that no path is favoured.
    """

    def __init__(
        self,
        detector: dict[str, Any],
        l1_weight: float = SuperNetSection.l1_weight,
        method: str = "darts",
        zero_one_weight: float = SuperNetSection.zero_one_weight,
        second_order: bool = SuperNetSection.second_order,
    ) -> None:
        super().__init__(detector, l1_weight, method=method)
        space = self.detector.neck.search_space
        self.architecture = nn.Parameter(torch.zeros(len(space.edges), len(space.paths)))
        self.zero_one_weight = zero_one_weight if method == "fair-darts" else 0.0
        self.second_order = second_order

    def train_step(self, data: Any, optim_wrapper: OptimWrapperDict) -> dict[str, Tensor]:
        """One update of the architecture parameters, and one of the weights.

        Args:
            data: of `HeldOutPairs`.
            optim_wrapper: of `MixtureOptimizers`.

        Returns:
            The log variables of the training images, averaged over the processes, and the ``held_out_loss``. Raises
            OpanasError if the loss is not finite, and no loss scale skips such a step.
        """
        weights, architecture = optim_wrapper["weights"], optim_wrapper["architecture"]
        with statistics_kept(self):
            if self.second_order:
                held_out = self._look_ahead(data, weights)
            else:
                held_out = self._backward(data["held_out"], architecture, [self.architecture])["loss"]
        if self.zero_one_weight:
            architecture.backward(self.zero_one_weight * zero_one_loss(self.architecture))
        average_gradients([self.architecture])
        architecture.step()
        architecture.zero_grad()
        logs = self._backward(data["training"], weights, self._weights())
        logs = mean_logs({**logs, "held_out_loss": held_out})
        self.finite_loss.require(float(logs["loss"]), int(self.step) + 1, weights)
        average_gradients(self.detector.parameters())
        average_statistics(self)
        weights.step()
        weights.zero_grad()
        self.step += 1
        return logs

    def _weights(self) -> list[nn.Parameter]:
        return [parameter for parameter in self.detector.parameters() if parameter.requires_grad]

    def _backward(self, batch: Any, optim_wrapper: OptimWrapper, inputs: list[nn.Parameter]) -> dict[str, Tensor]:
        """Add the gradient of the loss of a batch and of μ‖γ‖₁ to `inputs` alone; returns the log variables."""
        neck = self.detector.neck
        needs_input = any(parameter is not self.architecture for parameter in inputs)
        with optim_wrapper.optim_context(self):
            data = self.data_preprocessor(batch, True)
            with torch.set_grad_enabled(needs_input):  # What comes before the first path has no weights of paths.
                pyramid = neck.project(self.detector.backbone(data["inputs"]))
            outputs = run_mixture(neck, pyramid, WEIGHTINGS[self.method](self.architecture))
            losses = heads_on(self.detector, outputs).loss(data["inputs"], data["data_samples"])
        loss, logs = self.detector.parse_losses(losses)
        importance = torch.as_tensor(self.l1_weight * neck.edge_l1()).to(loss.device)
        optim_wrapper.backward(loss + importance, inputs=inputs)
        found = {name: value.detach() for name, value in logs.items()}
        return {**found, "loss": (loss + importance).detach(), "edge_l1": importance.detach()}

    def _look_ahead(self, data: Any, optim_wrapper: OptimWrapper) -> Tensor:
        """Give the architecture parameters the gradient of DARTS' Eq. 7, by the finite difference of Eq. 8.

        The step ahead is one of plain SGD by the current learning rate of each weight. All passes begin with the same
        random states: if those over the training images drew other samples of anchors and proposals each time, they
        would differ by more than the weights do. Returns the held-out loss after that step.
        """
        weights = self._weights()
        groups = optim_wrapper.optimizer.param_groups
        rate = {weight: group["lr"] for group in groups for weight in group["params"]}
        rates = [rate[weight] for weight in weights]
        start = [weight.detach().clone() for weight in weights]
        with random_states_kept():
            self._backward(data["training"], optim_wrapper, weights)
        self._move(weights, start, -1.0, self._steps(weights, rates))
        with random_states_kept():
            loss = self._backward(data["held_out"], optim_wrapper, [self.architecture, *weights])["loss"]
        direct, ahead = self.architecture.grad, self._steps(weights, rates)
        self.architecture.grad = None
        norm = torch.stack([step.norm() for step in ahead]).norm().clamp(min=1e-12)
        around = []
        for step in (FINITE_DIFFERENCE / norm, -FINITE_DIFFERENCE / norm):
            self._move(weights, start, step, ahead)
            with random_states_kept():
                self._backward(data["training"], optim_wrapper, [self.architecture])
            around.append(self.architecture.grad)
            self.architecture.grad = None
        self._move(weights, start, 0.0, ahead)
        self.architecture.grad = direct - (around[0] - around[1]) * norm / (2 * FINITE_DIFFERENCE)
        return loss

    @staticmethod
    def _steps(weights: list[nn.Parameter], rates: list[float]) -> list[Tensor]:
        """The rates times the mean gradients over the processes, which the weights are left without; 0 without one."""
        average_gradients(weights)
        taken = [
            torch.zeros_like(weight) if weight.grad is None else rate * weight.grad
            for weight, rate in zip(weights, rates, strict=True)
        ]
        for weight in weights:
            weight.grad = None
        return taken

    @staticmethod
    @torch.no_grad()
    def _move(weights: list[nn.Parameter], start: list[Tensor], step: Tensor | float, along: list[Tensor]) -> None:
        for weight, origin, direction in zip(weights, start, along, strict=True):
            weight.copy_(origin + step * direction)


def zero_one_loss(architecture: Tensor) -> Tensor:
    """−1/N Σ (σ(α) − 0.5)² over all N parameters, which is least where every weight is 0 or 1 (Fair DARTS)."""
    return -(architecture.sigmoid() - 0.5).square().mean()


@contextmanager
def statistics_kept(model: nn.Module) -> Iterator[None]:
    """While the block runs, batch norm's running statistics stay as they are."""
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    try:
        for norm in norms:
            norm.momentum = 0.0
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


@OPTIM_WRAPPER_CONSTRUCTORS.register_module(force=True)
class MixtureOptimizers:
    """Two optimizers for a `MixtureDetector`: ``weights`` as configured, and Adam for its ``architecture``.

    Args:
        optim_wrapper_cfg: as for one optimizer, with the options of Adam as `architecture`.
    """

    def __init__(self, optim_wrapper_cfg: dict[str, Any], paramwise_cfg: dict[str, Any] | None = None) -> None:
        self.wrapper = dict(optim_wrapper_cfg)
        self.adam = self.wrapper.pop("architecture")
        self.paramwise_cfg = paramwise_cfg

    def __call__(self, model: nn.Module) -> OptimWrapperDict:
        """The optimizers of a model."""
        detector = original(model)
        adam = torch.optim.Adam([detector.architecture], betas=BETAS, **self.adam)
        others = {key: value for key, value in self.wrapper.items() if key != "clip_grad"}
        weights = DefaultOptimWrapperConstructor(copy.deepcopy(self.wrapper), self.paramwise_cfg)(detector.detector)
        return OptimWrapperDict(
            weights=weights, architecture=OPTIM_WRAPPERS.build({"type": "OptimWrapper", **others, "optimizer": adam})
        )
