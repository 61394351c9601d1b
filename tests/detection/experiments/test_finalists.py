"""The final of a search: which candidates are trained, on what, for how long, and who wins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from mmdet.registry import DATASETS
from mmengine.config import Config
from mmengine.registry import DefaultScope
from tiny_config import tiny_config

from opanas_cli.detection.experiments import finalists as module
from opanas_cli.detection.experiments.finalists import cost_of, decide, finalists_of
from opanas_cli.detection.experiments.training_log import TrainingLog
from opanas_cli.detection.experiments.trainings import Training
from opanas_cli.detection.training.retraining import TrainedDetector, train_detector
from opanas_cli.errors import InvalidConfigError
from opanas_cli.formats.text import line_of, loads
from opanas_cli.genotype import Genotype
from opanas_cli.search import Candidate, Cost, Origin, Proposal

CPU = torch.device("cpu")
LINES = ("td|none,none", "none|td,none", "bu|none,none", "fs|none,none", "se|none,none", "td|none,bu")
"""Six genotypes of two nodes; the first two are one architecture."""


def candidate(place: int, line: str) -> Candidate:
    fitness = 0.9 - place / 10
    return Candidate(
        place, Proposal(loads(line, line).genotype, 0, Origin.RANDOM), Cost(100, 10), fitness, {"AP": fitness}
    )


CANDIDATES = [candidate(place, line) for place, line in enumerate(LINES)]


@pytest.fixture
def config(shapes_root: Path) -> Config:
    config = tiny_config(shapes_root)
    config.model.neck.num_nodes = 2
    config.retrain.update(epochs=4, milestones=(3,))
    return config


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """The trainings that were run: genotypes and epochs. What the super-net likes least does best."""
    calls: list[tuple[str, int]] = []

    def train(config: Config, folder: Path, *_: Any) -> TrainedDetector:
        line = line_of(Genotype.of(config.model.neck.genotype))
        calls.append((line, config.train_cfg.max_epochs))
        return TrainedDetector(folder / "detector.pth", Cost(100, 10), {"AP": LINES.index(line) / 10})

    monkeypatch.setattr(module, "train_detector", train)
    return calls


def test_finalists_are_the_fittest_of_different_architecture() -> None:
    assert [one.index for one in finalists_of(CANDIDATES[::-1], 3)] == [0, 2, 3]
    assert len(finalists_of(CANDIDATES, 50)) == 5


def test_the_better_half_is_trained_for_twice_as_long(
    config: Config, trained: list[tuple[str, int]], tmp_path: Path
) -> None:
    best, rounds = decide(config, finalists_of(CANDIDATES, 5), 0.2, tmp_path, 0, CPU)
    assert best is CANDIDATES[5]
    assert rounds == [
        {"epochs": 1, "figures": {LINES[0]: 0.0, LINES[2]: 0.2, LINES[3]: 0.3, LINES[4]: 0.4, LINES[5]: 0.5}},
        {"epochs": 2, "figures": {LINES[5]: 0.5, LINES[4]: 0.4, LINES[3]: 0.3}},
        {"epochs": 4, "figures": {LINES[5]: 0.5, LINES[4]: 0.4}},
    ]
    assert trained == [(line, found["epochs"]) for found in rounds for line in found["figures"]]
    again = decide(config, finalists_of(CANDIDATES, 5), 0.2, tmp_path, 0, CPU)
    assert again == (best, rounds)
    assert len(trained) == 10, "finished trainings are not run again"
    decide(config, finalists_of(CANDIDATES, 2), 0.2, tmp_path, 1, CPU)
    assert trained[10:] == [(LINES[0], 4), (LINES[2], 4)], (
        "two have one round, of all epochs; another seed is another run"
    )


@pytest.mark.parametrize("split", [0.3, 0.0])
def test_no_image_is_both_trained_on_and_tested_on(
    split: float, config: Config, trained: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    configs: list[Config] = []
    monkeypatch.setattr(
        module,
        "train_detector",
        lambda config, folder, *_: configs.append(config) or TrainedDetector(folder, Cost(1, 1), {"AP": 0.5}),
    )
    config.supernet.update(image_scale=(64, 64))
    config.retrain.update(image_scale=(96, 96))
    decide(config, CANDIDATES[:1] + CANDIDATES[2:3], split, tmp_path, 0, CPU)
    with DefaultScope.overwrite_default_scope("mmdet"):
        parts = [DATASETS.build(configs[0][f"{part}_dataloader"].dataset) for part in ("train", "test")]
    names = [{sample["data_samples"].img_path for sample in map(part.__getitem__, range(len(part)))} for part in parts]
    assert all(names)
    assert not names[0] & names[1]
    folders = [{Path(name).parent.name for name in some} for some in names]
    assert folders == [{"train"}, {"train" if split else "val"}]
    assert max(parts[1][0]["inputs"].shape[1:]) == 96


def test_a_metric_that_the_images_do_not_define(config: Config, trained: list[tuple[str, int]], tmp_path: Path) -> None:
    config.search = dict(config.get("search") or {}, metric="AP_large")
    with pytest.raises(InvalidConfigError, match="AP_large is not defined on the images tested on, only AP;"):
        decide(config, finalists_of(CANDIDATES, 2), 0.2, tmp_path, 0, CPU)


def test_a_round_goes_on_from_the_one_before(config: Config, tmp_path: Path) -> None:
    said: list[tuple[int, int]] = []
    best, rounds = decide(config, finalists_of(CANDIDATES, 3), 0.2, tmp_path, 0, CPU, lambda *now: said.append(now[:2]))
    assert [(found["epochs"], len(found["figures"])) for found in rounds] == [(2, 3), (4, 2)]
    rows = TrainingLog(tmp_path / "finalists.jsonl").rows()
    assert [row["epochs"] for row in rows] == [2, 2, 2, 4, 4]
    assert best.index in (0, 2, 3)
    assert not (tmp_path / "finalists").exists()
    assert said == [(step, 30) for step in range(1, 31)], (
        "each training did two epochs of three steps, the last two their third and fourth"
    )
    images = [row["spent"]["images"] for row in rows]
    assert images == [18, 18, 18, 36, 36]
    assert cost_of(rows).images == 18 + 36 + 36, "the cost of a last round has that of the rounds before in it"


def test_a_training_that_is_ahead_of_its_round_begins_anew(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a search of fewer finalists, whose first round is longer, was killed."""
    config.retrain.update(epochs=2, milestones=(1,))
    with monkeypatch.context() as patch:
        patch.setattr(module, "_row", killed_when_trained)
        with pytest.raises(KeyboardInterrupt):
            decide(config, finalists_of(CANDIDATES, 2), 0.2, tmp_path, 0, CPU)
    decide(config, finalists_of(CANDIDATES, 3), 0.2, tmp_path, 0, CPU)
    rows = TrainingLog(tmp_path / "finalists.jsonl").rows()
    assert [(row["epochs"], row["spent"]["images"]) for row in rows] == [(1, 9)] * 3 + [(2, 18)] * 2


def killed_when_trained(training: Training, log: TrainingLog, folder: Path, device: torch.device, on_step: Any) -> None:
    train_detector(training.config, folder / training.name, training.seed, device, True)
    raise KeyboardInterrupt
