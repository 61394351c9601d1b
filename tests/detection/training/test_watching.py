"""Watching a super-net in training: what is logged is true, and evaluating changes nothing."""

from __future__ import annotations

import json
import random
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from tiny_config import tiny_config

from opanas_cli.commands import run
from opanas_cli.detection.configs.files import load_config
from opanas_cli.detection.configs.necks import search_space
from opanas_cli.detection.evaluating.evaluator import SuperNetEvaluator
from opanas_cli.detection.quiet import silenced
from opanas_cli.detection.super_net_file import read_super_net
from opanas_cli.detection.training import watching
from opanas_cli.detection.training.progress import TrainingStep
from opanas_cli.detection.training.supernet_training import TrainedSuperNet, train_super_net
from opanas_cli.detection.training.watching import WatchHook, watched_visualizer
from opanas_cli.errors import OpanasError
from opanas_cli.search.evaluator import Evaluation
from opanas_cli.search.strategies.operators import sample

CPU = torch.device("cpu")
WATCHED = ("supernet.epochs=3", "supernet.watch_interval=2", "supernet.watch_sub_nets=4", "search.metric=AP50")
EDGES = ("edge_importance/0_1", "edge_importance/0_2", "edge_importance/1_2")


@pytest.fixture(scope="module")
def config(shapes_root: Path) -> Config:
    return tiny_config(shapes_root, "faster-rcnn", *WATCHED)


@pytest.fixture(scope="module")
def trained(config: Config, tmp_path_factory: pytest.TempPathFactory) -> TrainedSuperNet:
    return train_super_net(config, tmp_path_factory.mktemp("watched"), 5, CPU)


def scalars(work_dir: Path) -> list[dict[str, Any]]:
    """The lines of every ``scalars.json`` of a run, in the order of their steps."""
    files = (work_dir / "train-supernet").glob("*/vis_data/scalars.json")
    lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    return sorted(lines, key=lambda line: line["step"])


def test_looking_changes_no_weight(trained: TrainedSuperNet, shapes_root: Path, tmp_path: Path) -> None:
    blind = train_super_net(tiny_config(shapes_root, "faster-rcnn", "supernet.epochs=3"), tmp_path, 5, CPU)
    assert blind.watched == [] != trained.watched
    seen, unseen = (read_super_net(net.path)["state_dict"] for net in (trained, blind))
    assert seen.keys() == unseen.keys()
    assert all(torch.equal(seen[name], unseen[name]) for name in seen)


def test_the_mean_is_that_of_the_same_sub_nets_on_the_held_out_images(config: Config, trained: TrainedSuperNet) -> None:
    steps = trained.steps
    assert [(watch["epoch"], watch["step"]) for watch in trained.watched] == [(2, steps * 2 // 3), (3, steps)]
    content = read_super_net(trained.path)
    assert content["meta"]["watched"] == trained.watched
    rng = np.random.default_rng(5)
    genotypes = [sample(search_space(config), rng) for _ in range(4)]
    evaluator = SuperNetEvaluator(config, content["state_dict"], trained.path, 0.4, CPU)
    expected = np.mean([one.metrics["AP50"] for one in evaluator.evaluate(genotypes)])
    assert trained.watched[-1]["mean_AP50"] == pytest.approx(expected, abs=1e-12)
    assert expected > 1e-4, "sub-nets that find nothing tell nothing"


def test_the_visualizer_is_told(trained: TrainedSuperNet) -> None:
    lines = scalars(trained.path.parent)
    per_epoch = [line for line in lines if EDGES[0] in line]
    assert [line["step"] for line in per_epoch] == [trained.steps // 3 * epoch for epoch in (1, 2, 3)]
    assert [per_epoch[-1][edge] for edge in EDGES] == pytest.approx(trained.edge_importance)
    looks = [(line["step"], line["sub_nets/mean_AP50"]) for line in per_epoch if "sub_nets/mean_AP50" in line]
    assert looks == [(watch["step"], watch["mean_AP50"]) for watch in trained.watched]
    assert any("loss" in line and "loss_cls" in line for line in lines)


def test_tensorboard_has_the_same(trained: TrainedSuperNet) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (folder,) = {file.parent for file in trained.path.parent.rglob("events.out.tfevents.*")}
    events = EventAccumulator(str(folder)).Reload()
    assert {*EDGES, "loss", "sub_nets/mean_AP50"} <= set(events.Tags()["scalars"])
    told = [(event.step, event.value) for event in events.Scalars("sub_nets/mean_AP50")]
    assert told == [(watch["step"], pytest.approx(watch["mean_AP50"], abs=1e-6)) for watch in trained.watched]


def test_a_resumed_run_has_seen_it_all(config: Config, trained: TrainedSuperNet, tmp_path: Path) -> None:
    def stop_in_the_last_epoch(step: TrainingStep) -> None:
        if step.epoch == 3:
            raise OpanasError("stopped")

    with pytest.raises(OpanasError, match="stopped"):
        train_super_net(config, tmp_path, 5, CPU, on_step=stop_in_the_last_epoch)
    resumed = train_super_net(config, tmp_path, 5, CPU, resume=True)
    assert resumed.watched == trained.watched


class Careless:
    """An evaluator that draws random numbers, and finds the same of all genotypes."""

    def __init__(self, found: float | None = 0.25) -> None:
        self.detector = torch.nn.Identity()
        self.found = found
        self.draw()

    def evaluate(self, genotypes: Any) -> list[Evaluation]:
        self.draw()
        return [Evaluation({} if self.found is None else {"AP50": self.found}) for _ in genotypes]

    @staticmethod
    def draw() -> tuple[float, float, float]:
        return random.random(), float(np.random.rand()), float(torch.rand(1))  # noqa: NPY002


def runner_at(epoch: int, told: list[Any]) -> Any:
    """As much of a runner as the hook looks at, `epoch` epochs done; its network has no parameters."""
    model = torch.nn.Module()
    model.detector = torch.nn.Identity()
    model.detector.neck = SimpleNamespace(edge_importance=None)
    visualizer = SimpleNamespace(add_scalars=lambda *given, **more: told.append((*given, more)))
    return SimpleNamespace(model=model, epoch=epoch - 1, max_epochs=9, iter=7, visualizer=visualizer)


def test_random_numbers_go_on_as_if_nobody_had_looked(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "held_out_evaluator", lambda *_: Careless())
    told: list[Any] = []
    draws = []
    for look in (False, True):
        random.seed(3)
        np.random.seed(3)  # noqa: NPY002
        torch.manual_seed(3)
        if look:
            hook = WatchHook(config, 0, CPU)
            hook.before_train(runner_at(1, told))
            hook.after_train_epoch(runner_at(2, told))
            assert hook.watched == [{"epoch": 2, "step": 7, "mean_AP50": 0.25}]
        draws.append(Careless.draw())
    assert draws[0] == draws[1]
    assert told == [({"sub_nets/mean_AP50": 0.25}, {"step": 7})]


def test_a_mean_that_is_not_defined_is_left_out(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the held-out images have no object, there is nothing to take the mean of."""
    monkeypatch.setattr(watching, "held_out_evaluator", lambda *_: Careless(None))
    hook, told = WatchHook(config, 0, CPU), []
    hook.before_train(runner_at(1, told))
    with (
        silenced(),
        pytest.warns(UserWarning, match="AP50 is not defined on the held-out images, so the mean of sub-nets is left"),
    ):
        hook.after_train_epoch(runner_at(2, told))
    with warnings.catch_warnings(record=True) as again:
        hook.after_train_epoch(runner_at(9, told))
    assert hook.watched == told == again == []


@pytest.mark.parametrize(
    ("split", "said"),
    [
        ("0.0", r"watch_interval: no images are held out .*; set supernet.search_split above 0"),
        ("0.0001", r"the search part of 12 training images is empty at search_split=0.0001"),
    ],
)
def test_nothing_to_look_at_is_told_before_the_first_step(
    split: str, said: str, shapes_root: Path, tmp_path: Path
) -> None:
    config = tiny_config(shapes_root, "faster-rcnn", *WATCHED, f"supernet.search_split={split}")
    told: list[TrainingStep] = []
    with pytest.raises(OpanasError, match=said):
        train_super_net(config, tmp_path, 5, CPU, on_step=told.append)
    assert told == []


def test_other_backends_stay_and_the_scalars_are_written_in_any_case(
    tiny_options: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("visualizer.vis_backends.0.type=WandbVisBackend", "visualizer.vis_backends.0.init_kwargs.project=cells")
    backends = watched_visualizer(load_config("shapes", (*tiny_options, *options))).vis_backends
    assert [backend.type for backend in backends] == ["LocalVisBackend", "TensorboardVisBackend", "WandbVisBackend"]
    assert backends[-1].init_kwargs.project == "cells"
    plain = load_config("shapes", tiny_options)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    backends = watched_visualizer(plain).vis_backends
    assert [backend.type for backend in backends] == ["LocalVisBackend"]
    assert [backend.type for backend in watched_visualizer(Config()).vis_backends] == ["LocalVisBackend"]


def test_the_command_tells_it(
    tiny_options: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = (*tiny_options, "supernet.watch_interval=1", "supernet.watch_sub_nets=2")
    arguments = ["train-supernet", "shapes", "--work-dir", str(tmp_path), "--cfg-options", *options]
    assert run([*arguments, "--json"]) == 0
    watched = json.loads(capsys.readouterr().out)["watched"]
    assert [list(watch) for watch in watched] == [["epoch", "step", "mean_AP"]]
    assert run([*arguments, "--resume"]) == 0
    assert f"mean AP of random sub-nets: {watched[0]['mean_AP']:.4f} after epoch 1\n" in capsys.readouterr().out
