"""Heads that are trained on behind one sub-net alone before it is judged."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, count, islice
from typing import Any

import numpy as np
import torch
from mmdet.registry import DATASETS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.dist import all_gather_object, broadcast, get_rank, get_world_size
from mmengine.optim import OptimWrapper, build_optim_wrapper
from torch import Tensor, nn

from opanas_cli.detection.configs.building import building, images_of
from opanas_cli.detection.configs.sections import section_of
from opanas_cli.detection.configs.stages import apply_schedule, training_part
from opanas_cli.detection.data.sample_seeds import SeededSamples
from opanas_cli.detection.evaluating.population_pass import copies_of, heads_on
from opanas_cli.detection.processes.loader_workers import OutlivingLoader
from opanas_cli.detection.processes.random_states import seeded
from opanas_cli.errors import OpanasError
from opanas_cli.genotype import Genotype
from opanas_cli.necks.population import run_population
from opanas_cli.necks.sharing import Sharing

Heads = nn.ModuleDict

SHARED = ("backbone", "neck", "data_preprocessor")
"""The parts of a detector that are the same for all sub-nets."""

MEMORY_PER_WEIGHT = 4
"""Weights, gradients and two moments of an optimizer."""


class HeadTuning:
    """Trains the heads of a super-net's detector on, behind each sub-net for itself.

    The heads of a super-net are trained behind all sub-nets at once, and suit some better than others, whatever those
    are worth alone. Backbone and neck stay as they are and run once for all sub-nets, of which each gets the same
    images. The optimizer is that of the super-net's training, without mixed precision; its learning rate falls linearly
    to 0. Several processes train a share of the heads each.

    Args:
        config: the super-net's.
        search_split: the fraction of the training images that sub-nets are judged on, and that are left out here.
        steps: batches of the super-net's training.
        memory_mb: the most that the weights, gradients and moments of heads trained at once may take, in 10**6 bytes.
        on_images: called after each step with how many images are done for the heads trained at once, and of how many.
    """

    def __init__(
        self,
        config: Config,
        search_split: float,
        steps: int,
        memory_mb: float,
        on_images: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        runnable = copy.deepcopy(config)
        apply_schedule(runnable, section_of(config, "supernet"))
        self.optimizer = dict(runnable.optim_wrapper, type="OptimWrapper")
        self.source = str(config.filename)
        self.memory_mb = memory_mb
        self.on_images = on_images
        self.num_workers = int(runnable.train_dataloader.get("num_workers", 0))
        with building(config):
            images = training_part(config, runnable.train_dataloader.dataset, search_split)
            self.dataset = DATASETS.build(images)
        self.batches = Batches(len(self.dataset), steps, runnable.train_dataloader.batch_size)

    def heads_for(self, detector: nn.Module, genotypes: Sequence[Genotype]) -> list[Heads]:
        """The heads of each genotype, trained behind it.

        Raises OpanasError if a loss is not finite.
        """
        tuned = copies_of_heads(detector, len(genotypes))
        weights = sum(weight.nbytes for weight in tuned[0].parameters())
        at_once = max(1, int(self.memory_mb * 10**6 / (MEMORY_PER_WEIGHT * weights)))
        for start in range(0, len(genotypes), at_once):
            part = slice(start, start + at_once)
            self._tune(detector, genotypes[part], tuned[part])
        return tuned

    def document(self) -> dict[str, Any]:
        """What else than the images tuned heads depend on, as JSON-able values."""
        return {"steps": len(self.batches), "batch_size": self.batches.batch_size, **self.optimizer}

    def _tune(self, detector: nn.Module, genotypes: Sequence[Genotype], tuned: Sequence[Heads]) -> None:
        """Train the heads of some genotypes on at once."""
        step = self.step_of(detector, genotypes, tuned)
        loader = OutlivingLoader(
            SeededSamples(self.dataset),
            batch_sampler=self.batches,
            num_workers=self.num_workers,
            collate_fn=pseudo_collate,
        )
        for number, batch in enumerate(images_of(loader, self.source)):
            step(batch, number)
            self.on_images(*(steps * self.batches.batch_size for steps in (number + 1, len(self.batches))))
        for index, heads in enumerate(tuned):
            for weight in heads.state_dict().values():
                broadcast(weight, src=index % get_world_size())
            heads.eval()

    def step_of(
        self, detector: nn.Module, genotypes: Sequence[Genotype], tuned: Sequence[Heads]
    ) -> Callable[[Any, int], None]:
        """A function that updates the heads of each genotype once on a batch; the number of the first step is 0."""
        sharing = Sharing.of(genotypes)
        optimizers = [build_optim_wrapper(heads.train(), copy.deepcopy(self.optimizer)) for heads in tuned]

        def step(batch: Any, number: int) -> None:
            losses = []
            with torch.no_grad(), seeded(number):
                data = detector.data_preprocessor(batch, True)
                pyramid = detector.neck.project(detector.backbone(data["inputs"]))
                # In each process all of them: the last digits depend on what runs at once.
                for index, output in run_population(detector.neck, pyramid, sharing, self.memory_mb):
                    if index % get_world_size() == get_rank():
                        behind = heads_on(detector, detector.neck.extra_outputs(output), tuned[index])
                        with torch.enable_grad(), seeded(number):
                            found = behind.loss(data["inputs"], copies_of(data["data_samples"]))
                            losses.append(self._update(optimizers[index], behind.parse_losses(found)[0], number))
            self._require_finite([loss for own in all_gather_object(losses) for loss in own], number)

        return step

    def _update(self, optimizer: OptimWrapper, loss: Tensor, number: int) -> float:
        """One update of some heads, at the learning rate of the step; returns the loss."""
        for group in optimizer.param_groups:
            group["lr"] = group.setdefault("initial_lr", group["lr"]) * (1 - number / len(self.batches))
        optimizer.update_params(loss)
        return loss.item()

    def _require_finite(self, losses: Sequence[float], number: int) -> None:
        for loss in losses:
            if not math.isfinite(loss):
                raise OpanasError(
                    f"the loss is {loss} at step {number + 1} of search.head_steps; lower supernet.lr, or set "
                    "search.head_steps=0"
                )


def copies_of_heads(detector: nn.Module, count: int) -> list[Heads]:
    """So many copies of the parts of a detector that are behind its neck."""
    heads = Heads({name: part for name, part in detector.named_children() if name not in SHARED})
    return [copy.deepcopy(heads) for _ in range(count)]


class Batches:
    """`steps` batches of (index, seed) pairs, the same each time: the images one after another in random orders."""

    def __init__(self, num_images: int, steps: int, batch_size: int) -> None:
        self.num_images = num_images
        self.steps = steps
        self.batch_size = batch_size

    def __len__(self) -> int:
        """How many batches there are."""
        return self.steps

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        rng = np.random.default_rng(0)
        order = chain.from_iterable(rng.permutation(self.num_images).tolist() for _ in count())
        for first in range(0, self.steps * self.batch_size, self.batch_size):
            yield list(zip(islice(order, self.batch_size), range(first, first + self.batch_size), strict=True))
