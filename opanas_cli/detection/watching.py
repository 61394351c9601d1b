"""Watching a super-net while it trains: its edge importances, and how good its sub-nets are (the paper's Figure 4)."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from opanas_cli.detection.config_stages import search_space, stage_settings
from opanas_cli.detection.evaluation import SuperNetEvaluator
from opanas_cli.detection.random_states import random_states, restore_random_states
from opanas_cli.detection.replicas import original
from opanas_cli.genotype import Genotype
from opanas_cli.search.operators import sample

Evaluate = Callable[[nn.Module, Sequence[Genotype]], list[dict[str, float]]]
"""The statistics of genotypes with the weights of a detector whose neck is a super-net; the detector stays as it is."""


class WatchHook(Hook):
    """After every epoch tells the visualizer each edge importance, and every so often the mean AP of some sub-nets.

    They are the same sub-nets each time, drawn from the seed. Training goes on as if nobody had looked: the random
    states are put back. What was seen is kept in the checkpoints, so that a resumed run has all of it.

    Args:
        config: the super-net's; `supernet.watch_interval` is in epochs, None for never, and the last epoch is always
            looked at. The mean is of `search.metric`.
        evaluate: is called in every process.
    """

    def __init__(self, config: Config, seed: int, evaluate: Evaluate) -> None:
        settings = stage_settings(config, "supernet")
        self.interval = settings.watch_interval
        self.metric = str(stage_settings(config, "search").metric)
        self.evaluate = evaluate
        space, rng = search_space(config), np.random.default_rng(seed)
        self.genotypes = [sample(space, rng) for _ in range(settings.watch_sub_nets if self.interval else 0)]
        self.watched: list[dict[str, float]] = []

    def after_train_epoch(self, runner: Runner, metrics: Any = None) -> None:
        """Look, and tell the visualizer."""
        detector = original(runner.model).detector
        seen = edge_importances(detector.neck)
        if self.interval and (self.every_n_epochs(runner, self.interval) or self.is_last_train_epoch(runner)):
            seen[f"sub_nets/mean_{self.metric}"] = mean = self._mean(detector)
            if math.isfinite(mean):
                watch = {"epoch": runner.epoch + 1, "step": runner.iter, f"mean_{self.metric}": mean}
                self.watched = [*self.watched, watch]
        finite = {name: value for name, value in seen.items() if math.isfinite(value)}
        if finite:
            runner.visualizer.add_scalars(finite, step=runner.iter)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Keep what was seen."""
        checkpoint["watched"] = self.watched

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Go on behind what was seen."""
        self.watched = checkpoint.get("watched", [])

    def _mean(self, detector: nn.Module) -> float:
        states = random_states()
        metrics = self.evaluate(detector, self.genotypes)
        restore_random_states(states)
        return sum(values[self.metric] for values in metrics) / len(metrics)


def held_out_evaluation(config: Config, device: torch.device) -> Evaluate:
    """Evaluates on the images that a search would see: those held out from training, at most `search.max_images`.

    A copy of the detector is made when it is first asked, and gets the weights of that moment each time.
    """
    split, search = stage_settings(config, "supernet").search_split, stage_settings(config, "search")
    evaluator: SuperNetEvaluator | None = None

    def evaluate(detector: nn.Module, genotypes: Sequence[Genotype]) -> list[dict[str, float]]:
        nonlocal evaluator
        state = detector.state_dict()
        if evaluator is None:
            source = "the super-net in training"
            evaluator = SuperNetEvaluator(
                config, state, source, split, search.max_images, device, metric=str(search.metric)
            )
        else:
            evaluator.detector.load_state_dict(state)
        return evaluator.evaluate(genotypes)

    return evaluate


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
