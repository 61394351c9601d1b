"""A detector whose neck is a super-net, trained by sub-nets that each step draws (section 3.2.1)."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import torch
from mmdet.registry import MODELS
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmengine.structures import BaseDataElement
from torch import Tensor

from opanas_cli.detection.configs.replaced_neck import refuse_batch_norm_behind_backbone
from opanas_cli.detection.evaluating.population_pass import heads_on
from opanas_cli.detection.processes.replicas import average_gradients, average_statistics, mean_logs
from opanas_cli.detection.training.progress import FiniteLoss
from opanas_cli.genotype import Genotype
from opanas_cli.search.fair_sampling import SAMPLERS, step_generator
from opanas_cli.stage_settings import SuperNetSection


@MODELS.register_module(force=True)
class SuperNetDetector(BaseModel):
    """Trains an mmdet detector with an `OPASuperNet` neck.

    Each step draws K sub-nets with no edge and path in common, or with SPOS a single one, and updates once on the mean
    of their gradients. The backbone and the neck's input side run once: the gradients of the K sub-nets are summed at
    the pyramid and sent back together, which gives the gradients of K full passes. Several processes draw the same
    sub-nets and update on the mean of their gradients.

    Args:
        detector: the config of the detector.
        l1_weight: μ of Eq. 12, the weight of the L1 norm of the edge importances.
        seed: of the sub-nets drawn; step n draws the same ones whatever ran before.
        sampling: which paths are drawn, see `fair_genotypes`.
        method: what is drawn, a name of `SAMPLERS`.

    Raises:
        InvalidConfigError: a part behind the backbone has batch norm.
    """

    def __init__(
        self,
        detector: dict[str, Any],
        l1_weight: float = SuperNetSection.l1_weight,
        seed: int = 0,
        sampling: str = SuperNetSection.sampling,
        method: str = SuperNetSection.method,
    ) -> None:
        super().__init__()
        self.detector = MODELS.build(detector)
        refuse_batch_norm_behind_backbone(self.detector)
        self.data_preprocessor = self.detector.data_preprocessor
        self.l1_weight = l1_weight
        self.seed = seed
        self.sampling = sampling
        self.method = method
        self.finite_loss = FiniteLoss("lower supernet.lr or set supernet.grad_clip")
        self.register_buffer("step", torch.zeros((), dtype=torch.long))
        self._register_load_state_dict_pre_hook(_of_a_plain_detector)

    def __getattr__(self, name: str) -> Any:
        """What hooks of mmdet ask of a detector, such as `set_epoch`, is asked of the one in here."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("detector"), name)

    def init_weights(self) -> None:
        """Initialise the detector as mmdet does."""
        self.detector.init_weights()

    def forward(self, inputs: Tensor, data_samples: Any = None, mode: str = "tensor") -> Any:
        """The detector's own forward pass; its neck must be running a genotype."""
        return self.detector(inputs, data_samples, mode)

    def train_step(self, data: Any, optim_wrapper: OptimWrapper) -> dict[str, Tensor]:
        """One update on the mean gradient of the sub-nets that are drawn and μ‖γ‖₁ (Eq. 12).

        Returns the log variables: each loss, averaged over the sub-nets and over the processes. Raises OpanasError if
        the loss is not finite, and no loss scale skips such a step.
        """
        step = int(self.step)
        draw, space = SAMPLERS[self.method], self.detector.neck.search_space
        genotypes = draw(space, step_generator(self.seed, step), self.sampling)
        logs = mean_logs(self.accumulate_gradients(data, genotypes, optim_wrapper))
        self.finite_loss.require(float(logs["loss"]), step + 1, optim_wrapper)
        average_gradients(self.parameters())
        average_statistics(self)
        optim_wrapper.step()
        optim_wrapper.zero_grad()
        self.step += 1
        return logs

    def accumulate_gradients(
        self, data: Any, genotypes: tuple[Genotype, ...], optim_wrapper: OptimWrapper
    ) -> dict[str, Tensor]:
        """Add to every parameter the gradient of the mean loss of `genotypes` and of μ‖γ‖₁."""
        neck = self.detector.neck
        with optim_wrapper.optim_context(self):
            data = self.data_preprocessor(data, True)
            pyramid = neck.project(self.detector.backbone(data["inputs"]))
        leaves = [_leaf(level) for level in pyramid]
        logs: dict[str, Tensor] = defaultdict(lambda: torch.zeros((), device=leaves[0].device))
        for genotype in genotypes:
            with optim_wrapper.optim_context(self):
                losses = self._losses(_as(pyramid, leaves), genotype, data)
            loss, values = self.detector.parse_losses(losses)
            optim_wrapper.backward(loss / len(genotypes))
            for name, value in values.items():
                logs[name] = logs[name] + value.detach() / len(genotypes)
        torch.autograd.backward(pyramid, _as(pyramid, [leaf.grad for leaf in leaves]))
        importance = torch.as_tensor(self.l1_weight * neck.edge_l1())
        if importance.requires_grad:  # Not of a neck without edge importances.
            optim_wrapper.backward(importance)
        logs["loss"] = logs["loss"] + importance.detach()
        logs["edge_l1"] = importance.detach()
        return dict(logs)

    def _losses(self, pyramid: list[Tensor], genotype: Genotype, data: dict[str, Any]) -> dict[str, Tensor]:
        heads = heads_on(self.detector, self.detector.neck.aggregate(pyramid, genotype))
        return heads.loss(data["inputs"], list(map(_copy, data["data_samples"])))


def _of_a_plain_detector(state: dict[str, Tensor], prefix: str, *_: Any) -> None:
    """Rename the weights of a detector as mmdet saves it, such as of `load_from`, to those of the detector in here."""
    if not any(name.startswith(f"{prefix}detector.") for name in state):
        for name in list(state):
            state[f"{prefix}detector.{name.removeprefix(prefix)}"] = state.pop(name)


def _copy(sample: BaseDataElement) -> BaseDataElement:
    """A data sample of the same tensors: some heads put others in their place."""
    parts = {name: part.new() if isinstance(part, BaseDataElement) else part for name, part in sample.items()}
    return sample.new(**parts)


def _leaf(level: Tensor) -> Tensor:
    """A copy of a level at which gradients end and add up, in float32 when the level has 16 bits."""
    return level.detach().to(torch.promote_types(level.dtype, torch.float32)).requires_grad_()


def _as(pyramid: list[Tensor], tensors: list[Tensor]) -> list[Tensor]:
    """Tensors in the types of a pyramid's levels."""
    return [tensor.to(level.dtype) for tensor, level in zip(tensors, pyramid, strict=True)]
