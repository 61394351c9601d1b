"""A detector's network, or its neck alone, as one module from tensors to tensors that `torch.export` can trace."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from torch import Tensor, nn

from opanas_cli.detection.checkpoints import load_weights, read_checkpoint
from opanas_cli.detection.configs.building import build_detector, reason_of
from opanas_cli.detection.configs.data_checks import dataset_classes
from opanas_cli.detection.configs.parts import each_dataset
from opanas_cli.detection.costs.profiling import input_size
from opanas_cli.detection.exporting.image_networks import image_network
from opanas_cli.detection.exporting.trained_model import require_same_model
from opanas_cli.errors import OpanasError

LEAST_OPEN = 256
"""The shortest side with which open sizes are traced: RetinaNet's coarsest level of stride 128 has two pixels then.

torch takes a side of one pixel to be one for ever.
"""


@dataclass(frozen=True)
class Network:
    """What is exported: a module in evaluation mode, and arguments for it, as tensors (1, C, H, W).

    It is traced with the first of `trials`. If its sizes are open there is another one, with odd sizes where the first
    has even ones. `inputs` and `outputs` are the names of its arguments and results. `is_ranked` says that results list
    boxes (1, N, …), best first, so that rounding may swap two of them. `classes` are the names of what it finds.
    """

    module: nn.Module
    trials: tuple[tuple[Tensor, ...], ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    is_ranked: bool = False
    classes: tuple[str, ...] = ()


class NeckNetwork(nn.Module):
    """Feature maps (B, in_channels[i], H_i, W_i), one argument each, to the tuple of pyramid levels."""

    def __init__(self, neck: nn.Module) -> None:
        super().__init__()
        self.neck = neck

    def forward(self, *features: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.neck(features))


def network(
    config: Config,
    part: str,
    weights: Path | None,
    size: tuple[int, int] | None,
    dynamic: bool = False,
    nms: bool = False,
) -> Network:
    """The network of a detector's config: its ``neck`` alone, or the whole ``detector``.

    Args:
        weights: a checkpoint of the detector, all of whose weights are loaded; None leaves random ones.
        size: (height, width) of the image; None means the config's `cost_input`, or 800×1280.
        dynamic: whether sizes are open.
        nms: whether the detector suppresses boxes that overlap a better one of their class.

    Raises:
        InvalidCheckpointError: the weights are not those of the config's detector.
        UsageError: the detector has no such export.
    """
    source = copy.deepcopy(config)
    source.model.backbone.pop("init_cfg", None)
    detector = build_detector(source)
    if weights is not None:
        content = read_checkpoint(weights)
        require_same_model(content.get("meta"), config, weights)
        load_weights(detector, content.get("state_dict"), weights)
    detector.eval().requires_grad_(False)
    height, width = size or input_size(config)
    sizes = [(height, width)]
    if dynamic:
        height, width = max(height, LEAST_OPEN), max(width, LEAST_OPEN)
        sizes = [(height, width), (height + 33, width + 17)]
    classes = dataset_classes(next(iter(each_dataset(config.test_dataloader))))
    if part == "neck":
        trials = tuple(_feature_maps(detector.backbone, size) for size in sizes)
        names = tuple(f"feature{level}" for level in range(len(trials[0])))
        outputs = tuple(f"level{level}" for level in range(config.model.neck["num_outs"]))
        return Network(NeckNetwork(detector.neck).eval(), trials, names, outputs, classes=classes)
    whole = image_network(detector, config.model.data_preprocessor, nms)
    trials = tuple((255 * torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0)),) for size in sizes)
    outputs = ("boxes", "scores", *(("labels",) if nms else ()))
    return Network(whole, trials, ("image",), outputs, whole.is_ranked, classes)


def _feature_maps(backbone: nn.Module, size: tuple[int, int]) -> tuple[Tensor, ...]:
    """Random feature maps of the shapes that a backbone makes of an image."""
    image = torch.empty(1, 3, *size, device="meta")
    shapes = [level.shape for level in copy.deepcopy(backbone).to("meta")(image)]
    random = torch.Generator().manual_seed(0)
    return tuple(torch.randn(shape, generator=random) for shape in shapes)


def traced(source: Network) -> torch.export.ExportedProgram:
    """A network as a graph, for the sizes of its first trial or for open ones; OpanasError if torch cannot do it."""
    open_size = torch.export.Dim.DYNAMIC
    shapes: Any = tuple({2: open_size, 3: open_size} if len(source.trials) > 1 else None for _ in source.inputs)
    if isinstance(source.module, NeckNetwork):
        shapes = (shapes,)  # All of them are its one argument, `features`.
    try:
        return torch.export.export(source.module, source.trials[0], dynamic_shapes=shapes, strict=False)
    except Exception as error:
        reason = f"{type(error).__name__}: {reason_of(error):.300}"
        raise OpanasError(f"torch cannot export this network: {reason}") from error
