"""Trainings of an experiment, shared by several processes and resumed; their trainer is a stand-in."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from tiny_config import tiny_config

from opanas_cli.detection.experiments import trainings as module
from opanas_cli.detection.experiments.training_log import TrainingLog
from opanas_cli.detection.experiments.trainings import Training, run_trainings
from opanas_cli.detection.training.networks import sub_net_config
from opanas_cli.detection.training.retraining import TrainedDetector
from opanas_cli.errors import InvalidInputError, UsageError
from opanas_cli.genotype import Genotype
from opanas_cli.search import Cost

CPU = torch.device("cpu")


@pytest.fixture
def config(shapes_root: Path) -> Config:
    return sub_net_config(tiny_config(shapes_root), Genotype.of(["top_down"]))


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """The trainings that were run: their folders' names and seeds."""
    calls: list[tuple[str, int]] = []

    def train(config: Config, folder: Path, seed: int, device: Any, **options: Any) -> TrainedDetector:
        calls.append((folder.name, seed))
        (folder / "retrain").mkdir(parents=True)
        (folder / "detector.pth").write_text("weights")
        time.sleep(0.02)
        return TrainedDetector(folder / "detector.pth", Cost(100, 10), {"AP": seed / 10})

    monkeypatch.setattr(module, "train_detector", train)
    return calls


def plan(config: Config, names: str = "ab", seeds: int = 2) -> list[Training]:
    return [Training(name, seed, config, {"genotype": name}) for seed in range(seeds) for name in names]


def test_each_is_trained_once_and_the_rows_are_in_order(
    config: Config, trained: list[tuple[str, int]], tmp_path: Path
) -> None:
    log = TrainingLog(tmp_path / "rows.jsonl")
    rows = run_trainings(plan(config), log, tmp_path, CPU, keep_detectors=True)
    assert [(row["network"], row["seed"], row["metrics"]["AP"]) for row in rows] == [
        ("a", 0, 0.0),
        ("b", 0, 0.0),
        ("a", 1, 0.1),
        ("b", 1, 0.1),
    ]
    assert rows == log.rows()
    assert rows[0].keys() == {
        "network",
        "seed",
        "settings",
        "genotype",
        "metrics",
        "macs",
        "params",
        "spent",
        "seconds",
    }
    assert sorted(path.name for path in tmp_path.glob("[!.]*") if path.is_dir()) == ["a-0", "a-1", "b-0", "b-1"]
    assert [path.name for path in (tmp_path / "a-0").iterdir()] == ["detector.pth"]
    again = run_trainings(plan(config, "bac", 1), log, tmp_path, CPU, keep_detectors=False)
    assert [row["network"] for row in again] == ["b", "a", "c"]
    assert len(trained) == 5
    assert not (tmp_path / "c-0").exists()


def test_several_processes_share_them(config: Config, trained: list[tuple[str, int]], tmp_path: Path) -> None:
    found: list[list[dict[str, Any]]] = []

    def work() -> None:
        log = TrainingLog(tmp_path / "rows.jsonl")
        found.append(run_trainings(plan(config, "abcd"), log, tmp_path, CPU, keep_detectors=False))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(trained) == sorted((f"{name}-{seed}", seed) for name in "abcd" for seed in range(2))
    assert found[0] == found[1] == found[2]


def test_a_training_that_another_process_began_has_no_seconds(
    config: Config, trained: list[tuple[str, int]], tmp_path: Path
) -> None:
    (tmp_path / "a-0").mkdir()
    rows = run_trainings(plan(config, "ab", 1), TrainingLog(tmp_path / "rows.jsonl"), tmp_path, CPU, True)
    assert rows[0]["seconds"] is None
    assert rows[1]["seconds"] is not None


@pytest.mark.parametrize("change", ["seed", "config", "annotations"])
def test_rows_of_other_trainings_are_refused(
    change: str, config: Config, trained: list[tuple[str, int]], tmp_path: Path, shapes_root: Path
) -> None:
    log = TrainingLog(tmp_path / "rows.jsonl")
    run_trainings(plan(config, "a", 1), log, tmp_path, CPU, keep_detectors=False)
    other = plan(config, "a", 1)[0]
    if change == "seed":
        assert replace(other, seed=1).settings != other.settings
        return
    changed = config.copy()
    if change == "config":
        changed.optim_wrapper.optimizer.lr = 0.5
    else:
        document = json.loads((shapes_root / "annotations" / "val.json").read_text())
        document["annotations"].pop()
        (tmp_path / "val.json").write_text(json.dumps(document))
        changed.test_dataloader.dataset.ann_file = str(tmp_path / "val.json")
    with pytest.raises(UsageError, match=r"rows\.jsonl: a with seed 0 was trained by another config, genotype or data"):
        run_trainings([replace(other, config=changed)], log, tmp_path, CPU, keep_detectors=False)


def test_a_line_cut_short_is_trained_again_and_a_changed_digit_is_found(
    config: Config, trained: list[tuple[str, int]], tmp_path: Path
) -> None:
    log = TrainingLog(tmp_path / "rows.jsonl")
    run_trainings(plan(config), log, tmp_path, CPU, keep_detectors=False)
    whole = log.path.read_text()
    log.path.write_text(whole[:-5])
    assert len(log.rows()) == 3
    with pytest.warns(UserWarning, match="last line was cut short"):
        run_trainings(plan(config), log, tmp_path, CPU, keep_detectors=False)
    assert len(log.rows()) == 4
    log.path.write_text(whole.replace('"AP": 0.1', '"AP": 0.9', 1))
    with pytest.raises(InvalidInputError, match=r"rows\.jsonl: line 3 is not a row as it was written"):
        log.rows()
    with pytest.raises(UsageError, match=r"already exists; add --resume"):
        log.require_none()
