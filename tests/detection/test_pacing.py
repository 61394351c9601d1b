"""What images take in each stage, by a clock that only the networks move."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_config import tiny_config

from opanas_cli.detection import pacing
from opanas_cli.detection.evaluating.population_pass import PopulationPass
from opanas_cli.detection.pacing import Pacing
from opanas_cli.detection.training.super_net_detector import SuperNetDetector


class Clock:
    """A step on images of 64×64 pixels takes so many seconds each, on smaller ones a third of it less per quarter."""

    def __init__(self) -> None:
        self.now = 0.0
        self.counts: list[int] = []

    def step(self, batch: Any, seconds: float) -> None:
        count, pixels = len(batch["inputs"]), batch["inputs"][0].shape[1] * batch["inputs"][0].shape[2]
        self.counts.append(count)
        self.now += count * seconds * (0.25 + 0.75 * pixels / 64**2)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(pacing.time, "perf_counter", lambda: clock.now)
    monkeypatch.setattr(SuperNetDetector, "train_step", lambda self, batch, _: clock.step(batch, 0.5))
    monkeypatch.setattr("mmdet.models.FasterRCNN.train_step", lambda self, batch, _: clock.step(batch, 0.25))
    monkeypatch.setattr(PopulationPass, "run", lambda self, batch, positions: clock.step(batch, 0.125))
    return clock


def test_seconds_for_an_image(shapes_root: Path, clock: Clock) -> None:
    measured = Pacing(tiny_config(shapes_root, "faster-rcnn", "supernet.batch_size=16", "search.batch_size=1"))
    images = measured.images
    assert (images.supernet + images.search, images.retrain, images.test, images.classes) == (12, 12, 6, 3)
    pace = measured.measure(torch.device("cpu"))
    # A super-net step draws four sub-nets, and all of them are evaluated at once.
    assert (pace.supernet, pace.search, pace.retrain) == pytest.approx((0.5, 0.125 / 4, 0.25))
    # A quarter of the pixels takes 0.25 + 0.75 / 4 of the time.
    assert pace.half == pytest.approx(0.4375)
    # From two images on, four times as many while they fit into six seconds; each batch twice.
    assert clock.counts == [2, 2, 2, 2, 8, 8, 1, 1, 2, 2, 4, 4]


def test_steps_are_taken(shapes_root: Path) -> None:
    config = tiny_config(shapes_root)
    before = config.to_dict()
    pace = Pacing(config).measure(torch.device("cpu"))
    assert 0 < min(pace.supernet, pace.search, pace.retrain) <= max(pace.supernet, pace.search, pace.retrain) < 60
    assert 0 < pace.half <= 1
    assert config.to_dict() == before
