"""Detectors of many families with a super-net as their neck: trained, evaluated, exported and retrained."""

from __future__ import annotations

import copy
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from tiny_config import GENOTYPES, sure_weights
from tiny_detectors import FAMILIES, WIDTH, WITH_MASKS, tiny_detector, tiny_detector_on, with_octagons
from torch import nn

from opanas_cli.commands import run
from opanas_cli.detection.configs.building import build_detector
from opanas_cli.detection.configs.replaced_neck import with_super_net
from opanas_cli.detection.evaluating.evaluator import SuperNetEvaluator
from opanas_cli.detection.exporting.detector_config import export_config, exported_text
from opanas_cli.detection.quiet import silenced
from opanas_cli.detection.scoring.average_precision import DetectionAP
from opanas_cli.detection.scoring.image_results import Detections, ImageTruth, width_and_height
from opanas_cli.detection.training.super_net_detector import SuperNetDetector
from opanas_cli.genotype import Genotype
from opanas_cli.stage_settings import SearchSection

CPU = torch.device("cpu")
LEVELS = {
    "fcos": (4, 1, 5, True),
    "rtmdet": (3, 0, 3, False),
    "mask-rcnn": (4, 0, 5, False),
    "sparse-rcnn": (4, 0, 4, False),
    "dino": (3, 0, 4, True),
}
"""The number of feature maps, `start_level`, `num_outs` and `extra_convs` that a family's super-net must get."""


@pytest.fixture(autouse=True)
def first_epoch() -> None:
    """TOOD asks the runner for it."""
    MessageHub.get_current_instance().update_info("epoch", 0)


@pytest.fixture(scope="module")
def data(shapes_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_octagons(shapes_root, tmp_path_factory.mktemp("masks") / "data")


@cache
def _searched(root: Path, family: str) -> Config:
    return with_super_net(tiny_detector_on(root, family), num_nodes=2)


def searched(root: Path, family: str) -> Config:
    """The config of a detector with a super-net on the data set in `root`."""
    return copy.deepcopy(_searched(root, family))


def first_batch(config: Config) -> Any:
    for step in config.train_dataloader.dataset.pipeline:
        if step["type"] == "Resize":
            step["scale"] = (64, 64)
    config.train_dataloader.update(batch_size=2, num_workers=0)
    with silenced(), DefaultScope.overwrite_default_scope("mmdet"):
        return next(iter(Runner.build_dataloader(config.train_dataloader, seed=0)))


def parts_that_stay(neck: nn.Module, step: Any) -> set[str]:
    """The parts of a neck, such as the paths of its edges, of which a step moves no weight."""
    before = {name: value.detach().clone() for name, value in neck.named_parameters()}
    assert step()["loss"].isfinite()
    moved = {name for name, value in neck.named_parameters() if not torch.equal(value, before[name])}
    return {".".join(name.split(".")[:3]) for name in before} - {".".join(name.split(".")[:3]) for name in moved}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_super_net_takes_a_step(data: Path, family: str) -> None:
    config = searched(data, family)
    neck = config.model.neck
    if family in LEVELS:
        assert (len(neck.in_channels), neck.start_level, neck.num_outs, neck.extra_convs) == LEVELS[family]
    assert neck.out_channels == WIDTH
    torch.manual_seed(0)
    with silenced(), DefaultScope.overwrite_default_scope("mmdet"):
        model = SuperNetDetector(config.model).train()
        model.detector.init_weights()
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.01))
    batch = first_batch(config)
    assert parts_that_stay(model.detector.neck, lambda: model.train_step(batch, wrapper)) == set()


def one_by_one(evaluator: SuperNetEvaluator, genotype: Genotype) -> list[Any]:
    """What mmdet's own test step finds in each image with one genotype."""
    images = [evaluator.dataset[index] for index in range(len(evaluator.dataset))]
    batches = [{key: [image[key] for image in images[at : at + 2]] for key in images[0]} for at in range(0, 6, 2)]
    with silenced(), torch.inference_mode(), evaluator.detector.neck.running(genotype):
        return [sample for batch in batches for sample in evaluator.detector.test_step(batch)]


def in_order(boxes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Of detections that are all but equal in score the order may differ."""
    return np.lexsort((*np.round(boxes, 1).T, labels))


def best_of(sample: Any) -> ImageTruth:
    """The three objects that a detector is most sure of, as if they were true: so that its AP is not next to 0."""
    found = Detections.of(sample.pred_instances[:3])
    boxes = width_and_height(found.boxes)
    return ImageTruth(boxes, found.labels, found.labels < 0, boxes[:, 2] * boxes[:, 3], found.masks)


@pytest.mark.parametrize("family", FAMILIES)
def test_candidates_get_the_figures_of_the_plain_loop(data: Path, family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config = searched(data, family)
    metric = "segm_AP" if family in WITH_MASKS else "AP"
    evaluator = SuperNetEvaluator(
        config, sure_weights(config), "test", 0.0, CPU, SearchSection(batch_size=2, metric=metric)
    )
    plainly = [one_by_one(evaluator, genotype) for genotype in GENOTYPES]
    truths = {sample.img_id: best_of(sample) for sample in plainly[0]}
    monkeypatch.setattr(ImageTruth, "of", lambda sample, with_masks=True: truths[sample["img_id"]])

    metrics = [one.metrics for one in evaluator.evaluate(GENOTYPES)]
    found = evaluator._pass(GENOTYPES, 0).found
    assert metrics[0][metric] > 0.02, "a detector that finds nothing tells nothing"
    assert len({float(own[0].scores.sum()) for own in found}) == len(GENOTYPES)
    for index, samples in enumerate(plainly):
        plain = DetectionAP()
        plain.dataset_meta = evaluator.dataset.metainfo
        plain.process({}, [sample.to_dict() for sample in samples])
        theirs = plain.compute_metrics(plain.results)
        assert metrics[index] == pytest.approx({name: theirs[name] for name in metrics[index]}, abs=1e-6)
        for position, sample in enumerate(samples):
            ours, expected = found[index][position], Detections.of(sample.pred_instances)
            order, others = in_order(ours.boxes, ours.labels), in_order(expected.boxes, expected.labels)
            np.testing.assert_allclose(ours.boxes[order], expected.boxes[others], atol=1e-3)
            np.testing.assert_allclose(ours.scores[order], expected.scores[others], atol=1e-5)
            np.testing.assert_array_equal(ours.labels[order], expected.labels[others])
            assert (ours.masks is None) is (family not in WITH_MASKS)


@pytest.mark.parametrize("family", FAMILIES)
def test_an_exported_genotype_takes_a_step(data: Path, tmp_path: Path, family: str) -> None:
    detector, dataset = tmp_path / "detector.py", tmp_path / "data.py"
    detector.write_text(tiny_detector(family).pretty_text)
    dataset.write_text(tiny_detector_on(data, "fcos").pretty_text)
    exported = export_config(GENOTYPES[0], str(dataset), str(detector))
    file = tmp_path / "exported.py"
    file.write_text(exported_text(exported))
    again = Config.fromfile(str(file))
    assert again.model.neck.type == "OPAFPN"
    torch.manual_seed(0)
    with silenced():
        model = build_detector(again).train()
        model.init_weights()
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.01))
    batch = first_batch(again)
    assert parts_that_stay(model.neck, lambda: model.train_step(batch, wrapper)) == set()


def test_a_search_on_ones_own_data_with_masks(
    shapes_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny_detector("mask-rcnn").dump("mask.py")
    root = with_octagons(shapes_root, tmp_path / "data")
    assert run(["init", str(root), "-o", "cells.py", "--device", "cpu", "--detector", "mask.py", "-q"]) == 0
    few = ("epochs=1", "milestones=()", "image_scale=(64,64)", "warmup_iters=0", "lr=0.001")
    settings = [f"{stage}.{setting}" for stage in ("supernet", "retrain") for setting in few]
    settings += ["search.population=2", "search.generations=0", "search.top_k=1", "search.metric=segm_AP"]
    settings += [f"{split}_dataloader.num_workers=0" for split in ("train", "val", "test")]
    settings += ["model.neck.num_nodes=1"]
    capsys.readouterr()
    against = ["--against", "fpn", "--seeds", "1"]
    assert run(["search", "cells.py", "--device", "cpu", "--json", *against, "--cfg-options", *settings]) == 0
    stages = json.loads(capsys.readouterr().out)["stages"]
    assert "segm_AP" in stages["evolve"]["best"]["metrics"]
    assert stages["compare"]["metric"] == "segm_AP"
    winner, fpn = stages["compare"]["networks"]
    assert fpn["macs"] == pytest.approx(winner["macs"], rel=0.05)
