"""Watching a super-net while it trains: its edge importances, and how good its sub-nets are (the paper's Figure 4)."""

from __future__ import annotations

import importlib.util
import warnings
from dataclasses import replace
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
from opanas_cli.detection.processes.random_states import random_states_kept
from opanas_cli.detection.processes.replicas import original
from opanas_cli.errors import InvalidConfigError
from opanas_cli.search.strategies.operators import sample


class WatchHook(Hook):
    """After every epoch gives the visualizer each edge importance, and every so often the mean AP of some sub-nets.

    They are the same sub-nets each time, drawn from the seed. Evaluating them changes nothing in the training: the
    evaluator has a network of its own, and the random states are put back. The means are kept in the checkpoints, so
    that a resumed run has all of them.

    The config is the super-net's: `supernet.watch_interval` is in epochs, None for never, and after the last epoch
    sub-nets are always evaluated; the mean is of `search.metric`. Raises InvalidConfigError if no images are held out.
    """

    def __init__(self, config: Config, seed: int, device: torch.device) -> None:
        section = section_of(config, "supernet")
        self.interval = section.watch_interval
        if self.interval and not section.search_split:
            raise InvalidConfigError(
                f"{config.filename}: supernet.watch_interval: no images are held out from training to evaluate on; set "
                "supernet.search_split above 0"
            )
        self.metric = str(section_of(config, "search").metric)
        self.config, self.device = config, device
        self.evaluator: SuperNetEvaluator | None = None
        space, rng = search_space(config), np.random.default_rng(seed)
        self.genotypes = [sample(space, rng) for _ in range(section.watch_sub_nets if self.interval else 0)]
        self.watched: list[dict[str, float]] = []
        self._warned = False

    def before_train(self, runner: Runner) -> None:
        """Make the evaluator, in every process; it raises an error if there is no image to evaluate on."""
        if self.interval:
            with random_states_kept():
                self.evaluator = held_out_evaluator(self.config, original(runner.model).detector, self.device)

    def after_train_epoch(self, runner: Runner, metrics: Any = None) -> None:
        """Evaluate, and give the visualizer the mean."""
        detector = original(runner.model).detector
        scalars = edge_importances(detector.neck)
        if self.evaluator and (self.every_n_epochs(runner, self.interval) or self.is_last_train_epoch(runner)):
            mean = self._mean(detector, self.evaluator)
            if mean is not None:
                scalars[f"sub_nets/mean_{self.metric}"] = mean
                watch = {"epoch": runner.epoch + 1, "step": runner.iter, f"mean_{self.metric}": mean}
                self.watched = [*self.watched, watch]
            elif not self._warned:
                self._warned = True
                _warn(f"{self.metric} is not defined on the held-out images, so the mean of sub-nets is left out")
        if scalars:
            runner.visualizer.add_scalars(scalars, step=runner.iter)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Keep the means so far."""
        checkpoint["watched"] = self.watched

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Take the means so far, if a run is resumed."""
        if runner._resume:
            self.watched = checkpoint["watched"]

    def _mean(self, detector: nn.Module, evaluator: SuperNetEvaluator) -> float | None:
        with random_states_kept():
            evaluator.detector.load_state_dict(detector.state_dict())
            found = [evaluation.metrics for evaluation in evaluator.evaluate(self.genotypes)]
        figures = [metrics[self.metric] for metrics in found if self.metric in metrics]
        return sum(figures) / len(figures) if figures else None


def held_out_evaluator(config: Config, detector: nn.Module, device: torch.device) -> SuperNetEvaluator:
    """Evaluates on the images of a search: those held out from training, at most `search.max_images`."""
    split, section = section_of(config, "supernet").search_split, replace(section_of(config, "search"), halving=False)
    return SuperNetEvaluator(config, detector.state_dict(), "the super-net in training", split, device, section)


def _warn(message: str) -> None:
    """Warn although warnings of libraries are dropped during training."""
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn(message, stacklevel=2)


def edge_importances(neck: nn.Module) -> dict[str, float]:
    """Each edge importance of a super-net as ``edge_importance/SOURCE_TARGET``, if it has any."""
    if neck.edge_importance is None:
        return {}
    values = neck.edge_importance.detach().cpu().tolist()
    edges = neck.search_space.edges
    return {f"edge_importance/{edge.source}_{edge.target}": value for edge, value in zip(edges, values, strict=True)}


def watched_visualizer(config: Config) -> ConfigDict:
    """The visualizer of a config, which always writes ``scalars.json``, and for TensorBoard if that is installed.

    Other backends that the config names, such as Weights & Biases, stay.
    """
    visualizer = ConfigDict(config.get("visualizer") or dict(type="DetLocalVisualizer"))
    given = list(visualizer.get("vis_backends") or ())
    kinds = ["LocalVisBackend"]
    if importlib.util.find_spec("tensorboard") is not None:
        kinds.append("TensorboardVisBackend")
    named = {backend["type"] for backend in given}
    visualizer.vis_backends = [*(ConfigDict(type=kind) for kind in kinds if kind not in named), *given]
    return visualizer
