"""Heads trained on behind each neck, against torch's own optimizer on the whole detector."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from mmdet.registry import DATASETS
from mmengine.config import Config
from mmengine.registry import DefaultScope

from opanas_cli.detection.configs.building import build_detector
from opanas_cli.detection.configs.files import load_config
from opanas_cli.detection.configs.stages import search_dataset, super_net_stage
from opanas_cli.detection.evaluating.evaluator import SuperNetEvaluator
from opanas_cli.detection.processes.random_states import seeded
from opanas_cli.detection.quiet import silenced
from opanas_cli.formats.text import loads
from opanas_cli.genotype import Genotype
from opanas_cli.search.evaluator import Evaluation

State = dict[str, torch.Tensor]
STEPS, LR = 3, 0.002
GENOTYPES = [loads(line, line).genotype for line in ("td|none,bu", "se|fs,skip", "none|skip,none")]


@pytest.fixture
def heads(program: Callable[[str], ModuleType]) -> ModuleType:
    return program("trained_heads")


@pytest.fixture
def config(tiny_options: tuple[str, ...]) -> Config:
    options = ("supernet.optimizer=SGD", f"supernet.lr={LR}", "supernet.grad_clip=None", "supernet.weight_decay=1e-4")
    return load_config("shapes", (*tiny_options, *options))


@pytest.fixture
def state(config: Config) -> State:
    torch.manual_seed(0)
    with silenced():
        detector = build_detector(config)
        detector.init_weights()
    return detector.state_dict()


def loaded(config: Config, state: State) -> Any:
    with silenced():
        detector = build_detector(config)
    detector.load_state_dict(state)
    return detector.eval()


def test_the_heads_are_those_of_the_whole_detector(heads: ModuleType, config: Config, state: State) -> None:
    stage = super_net_stage(config, seed=0)
    batches = list(heads.training_batches(stage.train_dataloader, STEPS))
    held_out = {Path(one["img_path"]).name for one in dataset_of(search_dataset(config, 0.4, None))}
    trained = [Path(sample.img_path).name for batch in batches for sample in batch["data_samples"]]
    assert len(trained) == STEPS * stage.train_dataloader.batch_size and not held_out & set(trained)
    for genotype in GENOTYPES:
        detector, expected = loaded(config, state), loaded(config, state)
        heads.train_heads(detector, genotype, batches, stage.optim_wrapper)
        parts = [part.train() for name, part in expected.named_children() if name.endswith("head")]
        optimizer = torch.optim.SGD((w for part in parts for w in part.parameters()), LR, 0.9, weight_decay=1e-4)
        for step, batch in enumerate(heads.training_batches(stage.train_dataloader, STEPS)):
            optimizer.param_groups[0]["lr"] = LR * (STEPS - step) / STEPS
            with seeded(step), expected.neck.running(genotype):
                data = expected.data_preprocessor(batch, True)
                losses = expected.loss(data["inputs"], data["data_samples"])
            optimizer.zero_grad()
            expected.parse_losses(losses)[0].backward()
            optimizer.step()
        theirs = expected.state_dict()
        for name, value in detector.state_dict().items():
            torch.testing.assert_close(value, theirs[name], rtol=1e-4, atol=1e-6)
            is_trained = "head" in name and value.is_floating_point()
            assert torch.equal(value, state[name]) != is_trained, name


def test_each_neck_begins_with_the_heads_of_the_super_net(
    heads: ModuleType, config: Config, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sums(self: SuperNetEvaluator, genotypes: Sequence[Genotype]) -> list[Evaluation]:
        assert len(genotypes) == 1
        return [Evaluation({"AP": sum(weight.abs().sum().item() for weight in self.detector.parameters())})]

    monkeypatch.setattr(SuperNetEvaluator, "evaluate", sums)
    content = {"state_dict": state, "meta": {"search_split": 0.4}}
    both = heads.judged(config, content, Path("supernet.pth"), GENOTYPES[:2], STEPS)
    alone = heads.judged(config, content, Path("supernet.pth"), GENOTYPES[1:2], STEPS)
    (line,) = alone
    assert both[line] == alone[line]
    assert len(set(both.values())) == 2


def dataset_of(dataset: Any) -> list[dict[str, Any]]:
    with silenced(), DefaultScope.overwrite_default_scope("mmdet"):
        built = DATASETS.build(dataset)
    return [built.get_data_info(index) for index in range(len(built))]
