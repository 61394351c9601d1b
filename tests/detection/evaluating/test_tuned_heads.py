"""Heads trained on behind each sub-net, against the obvious way: one whole detector after the other."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from tiny_config import GENOTYPES, sure_weights, tiny_config

from opanas_cli.detection.configs.building import build_detector
from opanas_cli.detection.data.image_subset import image_paths
from opanas_cli.detection.data.sample_seeds import SeededSamples
from opanas_cli.detection.evaluating.evaluator import SuperNetEvaluator
from opanas_cli.detection.evaluating.tuned_heads import HeadTuning
from opanas_cli.detection.processes.random_states import seeded
from opanas_cli.detection.quiet import silenced
from opanas_cli.errors import OpanasError
from opanas_cli.genotype import Genotype
from opanas_cli.stage_settings import SearchSection

CPU = torch.device("cpu")
STEPS = 3
LR = 0.002


def tuned_alone(config: Config, state: dict[str, torch.Tensor], tuning: HeadTuning, genotype: Genotype) -> dict:
    """The weights of a detector whose heads torch's own optimizer has trained on."""
    detector = build_detector(config)
    detector.load_state_dict(state)
    detector.eval().requires_grad_(False)
    heads = [part for name, part in detector.named_children() if name.endswith("head")]
    for head in heads:
        head.requires_grad_().train()
    weights = [weight for head in heads for weight in head.parameters()]
    optimizer = torch.optim.SGD(weights, lr=LR, momentum=0.9, weight_decay=1e-4)
    samples = SeededSamples(tuning.dataset)
    for step, batch in enumerate(tuning.batches):
        optimizer.param_groups[0]["lr"] = LR * (STEPS - step) / STEPS
        with seeded(step), detector.neck.running(genotype):
            data = detector.data_preprocessor(pseudo_collate([samples[place] for place in batch]), True)
            losses = detector.loss(data["inputs"], data["data_samples"])
        optimizer.zero_grad()
        detector.parse_losses(losses)[0].backward()
        optimizer.step()
    return detector.state_dict()


@pytest.fixture
def config(shapes_root: Path) -> Config:
    options = ("supernet.optimizer=SGD", f"supernet.lr={LR}", "supernet.grad_clip=None", "supernet.weight_decay=1e-4")
    return tiny_config(shapes_root, "faster-rcnn", *options)


@pytest.mark.parametrize("memory_mb", [1000.0, 1e-6], ids=["at once", "one by one"])
def test_heads_are_those_of_a_detector_trained_by_itself(config: Config, memory_mb: float) -> None:
    state = sure_weights(config)
    section = SearchSection(head_steps=STEPS, memory_mb=memory_mb)
    evaluator = SuperNetEvaluator(config, state, "test", 0.4, CPU, section)
    tuning, detector = evaluator.head_tuning, evaluator.detector
    assert tuning is not None
    with silenced():
        found = tuning.heads_for(detector, GENOTYPES)
        for genotype, heads in zip(GENOTYPES, found, strict=True):
            expected = tuned_alone(config, state, tuning, genotype)
            for name, value in heads.state_dict().items():
                torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-6)
                if value.is_floating_point():
                    assert not torch.equal(value, state[name]), f"{name} has learnt nothing"
            assert not heads.training
    for name, value in detector.state_dict().items():
        assert torch.equal(value, state[name]), f"{name} of the super-net has changed"
    assert all(weight.grad is None for weight in detector.parameters())


def test_images_are_those_that_nothing_is_judged_on(config: Config) -> None:
    evaluator = SuperNetEvaluator(config, sure_weights(config), "test", 0.4, CPU, SearchSection(head_steps=7))
    tuning = evaluator.head_tuning
    assert tuning is not None
    judged, trained = ({Path(path).name for path in image_paths(one.dataset)} for one in (evaluator, tuning))
    assert judged and trained and not judged & trained
    pairs = [pair for batch in tuning.batches for pair in batch]
    assert len(tuning.batches) == 7 and {len(batch) for batch in tuning.batches} == {2}
    whole = len(pairs) - len(pairs) % len(trained)
    times = [[index for index, _ in pairs[:whole]].count(index) for index in range(len(trained))]
    assert times == [whole // len(trained)] * len(trained), "each image as often as the others"
    assert len({seed for _, seed in pairs}) == len(pairs), "each time with an augmentation of its own"


@pytest.mark.parametrize("halving", [False, True])
def test_each_candidate_is_judged_by_its_own_heads(config: Config, halving: bool) -> None:
    section = SearchSection(batch_size=2, head_steps=STEPS, halving=halving, metric="AP50")
    state = sure_weights(config)
    evaluator = SuperNetEvaluator(config, state, "test", 0.0, CPU, section)
    found = evaluator._pass(GENOTYPES, 0, evaluator.head_tuning.heads_for(evaluator.detector, GENOTYPES)).found
    assert evaluator.evaluate(GENOTYPES) == evaluator.evaluate(GENOTYPES), "the same again, to the last digit"
    for genotype, own in zip(GENOTYPES, found, strict=True):
        expected = copy.deepcopy(state) | tuned_alone(config, state, evaluator.head_tuning, genotype)
        alone = SuperNetEvaluator(config, expected, "test", 0.0, CPU, SearchSection(batch_size=2, halving=halving))
        theirs = alone._pass([genotype], 0).found[0]
        assert list(own) == list(theirs)
        for position, detections in own.items():
            assert len(detections.scores) == len(theirs[position].scores) > 0
            assert sorted(detections.scores) == pytest.approx(sorted(theirs[position].scores), abs=1e-4)


def test_a_loss_that_is_not_finite_is_an_error(config: Config) -> None:
    config.supernet.lr = 1e30
    evaluator = SuperNetEvaluator(config, sure_weights(config), "test", 0.0, CPU, SearchSection(head_steps=5))
    with pytest.raises(OpanasError, match=r"the loss is \S+ at step \d of search.head_steps; lower supernet.lr"):
        evaluator.evaluate(GENOTYPES)
    assert math.isfinite(sum(weight.sum().item() for weight in evaluator.detector.parameters()))
