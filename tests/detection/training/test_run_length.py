"""A run that is resumed for more epochs or fewer, and what hooks make of its weights in the end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from mmdet.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.registry import METRICS
from torch import Tensor, nn

from opanas_cli.detection.configs.stages import apply_schedule
from opanas_cli.detection.training import retraining
from opanas_cli.detection.training.progress import ProgressHook
from opanas_cli.detection.training.resumable_loop import ResumableTrainLoop
from opanas_cli.detection.training.retraining import train_detector
from opanas_cli.detection.training.run_identity import run_identity
from opanas_cli.detection.training.runner import build_runner
from opanas_cli.errors import LongerRunError
from opanas_cli.search import Cost
from opanas_cli.stage_settings import RetrainSection

CPU = torch.device("cpu")


@MODELS.register_module(force=True)
class OneWeight(BaseModel):
    """Learns that its weight is 0, and predicts it."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, inputs: Any, data_samples: Any = None, mode: str = "tensor") -> Any:
        if mode == "predict":
            return [float(self.weight)] * len(inputs)
        return {"loss": (self.weight * torch.stack(list(inputs))).square().mean()}


@DATASETS.register_module(force=True)
class FourNumbers(torch.utils.data.Dataset[dict[str, Tensor]]):
    """1 to 4."""

    metainfo: dict[str, Any] = {"classes": ("a",)}  # noqa: RUF012

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"inputs": torch.tensor([index + 1.0]), "data_samples": torch.zeros(1)}


@METRICS.register_module(force=True)
class Predicted(BaseMetric):
    """What was predicted."""

    default_prefix = "predicted"

    def process(self, data_batch: Any, data_samples: Any) -> None:
        self.results += data_samples

    def compute_metrics(self, results: list[float]) -> dict[str, float]:
        return {"AP": results[0]}


class LearningRates(Hook):
    """Those of each step."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        self.seen += runner.optim_wrapper.get_lr()["lr"]


def config_of(epochs: int, **more: Any) -> Config:
    loader = dict(batch_size=2, num_workers=0, dataset=dict(type="FourNumbers"))
    parts = dict(
        model=dict(type="OneWeight"),
        train_dataloader=dict(loader, sampler=dict(type="DefaultSampler", shuffle=True)),
        test_dataloader=dict(loader, sampler=dict(type="DefaultSampler", shuffle=False)),
        test_cfg=dict(type="TestLoop"),
        test_evaluator=dict(type="Predicted"),
        visualizer=None,
    )
    config = Config(parts, cfg_text="model = {}", filename="test.py")
    apply_schedule(config, RetrainSection(epochs=epochs, batch_size=2, lr=0.01, milestones=(2, 3, 5), warmup_iters=0))
    config.update(more)
    return config


def learning_rates(config: Config, folder: Path, resume: bool = False) -> list[float]:
    runner = build_runner(config, folder, 0, CPU, resume, ProgressHook(None))
    hook = LearningRates()
    runner.register_hook(hook, priority="VERY_LOW")
    runner.train()
    return hook.seen


@pytest.mark.parametrize(
    "schedule",
    [
        {},
        {"checkpoints": {"minutes": 1e-9}},  # It is saved once more when the hooks of an epoch are done.
        {"param_scheduler": [dict(type="MultiStepLR", by_epoch=False, milestones=[6, 7], gamma=0.1)]},
        {"param_scheduler": [dict(type="ExponentialLR", gamma=0.5), dict(type="ConstantLR", factor=0.5, end=2)]},
    ],
)
def test_a_run_that_is_resumed_for_more_epochs_is_that_of_all_of_them(schedule: dict[str, Any], tmp_path: Path) -> None:
    whole = learning_rates(config_of(6, **schedule), tmp_path / "whole")
    assert len(set(whole)) > 1
    staged: list[float] = []
    for epochs in (2, 3, 6):
        staged += learning_rates(config_of(epochs, **schedule), tmp_path / "staged", resume=True)
    assert staged == pytest.approx(whole)


def test_a_cosine_falls_until_the_new_end(tmp_path: Path) -> None:
    cosine = {"param_scheduler": [dict(type="CosineAnnealingLR", eta_min=0.0)]}
    before = learning_rates(config_of(2, **cosine), tmp_path, resume=True)
    after = learning_rates(config_of(6, **cosine), tmp_path, resume=True)
    assert len(before) == 4
    assert all(one > other > 0 for one, other in zip(after[1::2], after[3::2], strict=False))


def test_a_run_that_begins_elsewhere_or_has_other_hooks_is_another(tmp_path: Path) -> None:
    weights = tmp_path / "weights.pth"
    torch.save({"weight": torch.zeros(1)}, weights)
    hooks, begun = [dict(type="EMAHook")], str(weights)
    kinds = [config_of(1), config_of(1, custom_hooks=hooks), config_of(1, load_from=begun)]
    identities = [json.dumps(run_identity(config, 0)) for config in kinds]
    torch.save({"weight": torch.ones(1)}, weights)
    identities.append(json.dumps(run_identity(kinds[2], 0)))
    assert len(set(identities)) == 4


def test_a_run_cannot_be_made_shorter(tmp_path: Path) -> None:
    learning_rates(config_of(3), tmp_path)
    assert learning_rates(config_of(3), tmp_path, resume=True) == []
    with pytest.raises(LongerRunError, match="has been trained for 3 epochs, more than the 2 asked for; ask for as"):
        learning_rates(config_of(2), tmp_path, resume=True)


def test_a_warm_up_of_one_step_is_none(tmp_path: Path) -> None:
    config = config_of(1)
    apply_schedule(config, RetrainSection(epochs=1, batch_size=2, lr=0.01, milestones=(), warmup_iters=1))
    assert learning_rates(config, tmp_path / "one") == [0.01, 0.01]
    apply_schedule(config, RetrainSection(epochs=1, batch_size=2, lr=0.01, milestones=(), warmup_iters=2))
    assert learning_rates(config, tmp_path / "two") == pytest.approx([0.00001, 0.01])


def test_the_weights_are_the_averages_of_a_hook_that_averages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retraining, "detector_cost", lambda config: Cost(1, 1))
    raw, steps = [], 0.5

    def note(loop: Any, *arguments: Any) -> None:
        run_iter(loop, *arguments)
        raw.append(float(loop.runner.model.weight))

    run_iter = ResumableTrainLoop.run_iter
    monkeypatch.setattr(ResumableTrainLoop, "run_iter", note)
    averaging = dict(type="EMAHook", ema_type="ExponentialMovingAverage", momentum=steps)
    found = [
        train_detector(config_of(3, custom_hooks=[averaging]), tmp_path / "whole", 0, CPU),
        *(
            train_detector(config_of(epochs, custom_hooks=[averaging]), tmp_path / "staged", 0, CPU, True)
            for epochs in (1, 3)
        ),
    ]
    average = raw[0]
    for value in raw[1:6]:
        average += steps * (value - average)
    assert average != pytest.approx(raw[5], rel=0.01)
    for trained in (found[0], found[2]):
        assert trained.metrics["predicted/AP"] == pytest.approx(average, rel=1e-5)
        saved = torch.load(trained.path, weights_only=True)["state_dict"]
        assert float(saved["weight"]) == pytest.approx(average, rel=1e-5)
