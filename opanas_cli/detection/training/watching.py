"""Watching a super-net while it trains: its edge importances, and how good its sub-nets are (the paper's Figure 4)."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from opanas_cli.detection.configs.necks import search_space
from opanas_cli.detection.configs.sections import section_of
from opanas_cli.detection.evaluating.evaluator import SuperNetEvaluator
from opanas_cli.detection.processes.random_states import random_states, restore_random_states
from opanas_cli.detection.processes.replicas import original
from opanas_cli.errors import InvalidConfigError
from opanas_cli.search.operators import sample


class WatchHook(Hook):
    """After every epoch gives the visualizer each edge importance, and every so often the mean AP of some sub-nets.

    They are the same sub-nets each time, drawn from the seed. Training goes on as if nobody had looked: the evaluator
    has a network of its own, and the random states are put back. What was seen is kept in the checkpoints, so that a
    resumed run has all of it.

    Args:
        config: the super-net's; `supernet.watch_interval` is in epochs, None for never, and the last epoch is always
            looked at. The mean is of `search.metric`.
        evaluator_of: makes the evaluator, given the detector, before the first step; called in every process.

    Raises:
        InvalidConfigError: no images are held out to evaluate on.
    """

    def __init__(self, config: Config, seed: int, evaluator_of: Callable[[nn.Module], SuperNetEvaluator]) -> None:
        settings = section_of(config, "supernet")
        self.interval = settings.watch_interval
        if self.interval and not settings.search_split:
            raise InvalidConfigError(
                f"{config.filename}: supernet.watch_interval: no images are held out from training to evaluate on; set "
                "supernet.search_split above 0"
            )
        self.metric = str(section_of(config, "search").metric)
        self.evaluator_of = evaluator_of
        self.evaluator: SuperNetEvaluator | None = None
        space, rng = search_space(config), np.random.default_rng(seed)
        self.genotypes = [sample(space, rng) for _ in range(settings.watch_sub_nets if self.interval else 0)]
        self.watched: list[dict[str, float]] = []
        self._warned = False

    def before_train(self, runner: Runner) -> None:
        """Make the evaluator, which finds out whether there is anything to evaluate on."""
        if self.interval:
            with random_states_kept():
                self.evaluator = self.evaluator_of(original(runner.model).detector)

    def after_train_epoch(self, runner: Runner, metrics: Any = None) -> None:
        """Evaluate, and give the visualizer the mean."""
        detector = original(runner.model).detector
        seen = edge_importances(detector.neck)
        if self.evaluator and (self.every_n_epochs(runner, self.interval) or self.is_last_train_epoch(runner)):
            mean = self._mean(detector, self.evaluator)
            if mean is not None:
                seen[f"sub_nets/mean_{self.metric}"] = mean
                watch = {"epoch": runner.epoch + 1, "step": runner.iter, f"mean_{self.metric}": mean}
                self.watched = [*self.watched, watch]
            elif not self._warned:
                self._warned = True
                _warn(f"{self.metric} is not defined on the held-out images, so the mean of sub-nets is left out")
        if seen:
            runner.visualizer.add_scalars(seen, step=runner.iter)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Keep what was seen."""
        checkpoint["watched"] = self.watched

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Go on behind what was seen."""
        self.watched = checkpoint.get("watched", [])

    def _mean(self, detector: nn.Module, evaluator: SuperNetEvaluator) -> float | None:
        with random_states_kept():
            evaluator.detector.load_state_dict(detector.state_dict())
            found = [evaluation.metrics for evaluation in evaluator.evaluate(self.genotypes)]
        figures = [metrics[self.metric] for metrics in found if self.metric in metrics]
        return sum(figures) / len(figures) if figures else None


def held_out_evaluator(config: Config, detector: nn.Module, device: torch.device) -> SuperNetEvaluator:
    """Evaluates on the images that a search would see: those held out from training, at most `search.max_images`."""
    split, search = section_of(config, "supernet").search_split, section_of(config, "search")
    source, metric = "the super-net in training", str(search.metric)
    return SuperNetEvaluator(config, detector.state_dict(), source, split, search.max_images, device, metric=metric)


def _warn(message: str) -> None:
    """Warn though what libraries warn while they train is dropped."""
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn(message, stacklevel=2)


@contextmanager
def random_states_kept() -> Iterator[None]:
    """Whatever the block draws, all generators go on from where they were."""
    states = random_states()
    try:
        yield
    finally:
        restore_random_states(states)


def edge_importances(neck: nn.Module) -> dict[str, float]:
    """Each edge importance of a super-net as ``edge_importance/SOURCE_TARGET``; none where it has none."""
    if neck.edge_importance is None:
        return {}
    values = neck.edge_importance.detach().cpu().tolist()
    edges = neck.search_space.edges
    return {f"edge_importance/{edge.source}_{edge.target}": value for edge, value in zip(edges, values, strict=True)}


def watched_visualizer(config: Config) -> ConfigDict:
    """The visualizer of a config, which writes ``scalars.json`` in any case, and for TensorBoard where it is installed.

    What else the config names, as Weights & Biases, stays.
    """
    visualizer = ConfigDict(config.get("visualizer") or dict(type="DetLocalVisualizer"))
    given = list(visualizer.get("vis_backends") or ())
    kinds = ["LocalVisBackend"]
    if importlib.util.find_spec("tensorboard") is not None:
        kinds.append("TensorboardVisBackend")
    named = {backend["type"] for backend in given}
    visualizer.vis_backends = [*(ConfigDict(type=kind) for kind in kinds if kind not in named), *given]
    return visualizer
