from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from tiny_config import tiny_config

from opanas_cli.detection.configs.files import load_config, shipped_configs
from opanas_cli.detection.configs.necks import search_space, with_sub_net
from opanas_cli.detection.configs.sections import section_of
from opanas_cli.detection.configs.stages import apply_schedule, retrain_stage, search_dataset, super_net_stage
from opanas_cli.detection.costs.profiling import DEFAULT_INPUT
from opanas_cli.errors import InvalidConfigError
from opanas_cli.genotype import Genotype
from opanas_cli.stage_settings import STAGES, RetrainSection

SMALL = Genotype.of(["top_down", "none", "bottom_up"])


def scales(dataloader: Any) -> list[tuple[int, int]]:
    queue, found = [dataloader["dataset"]], []
    while queue:
        dataset = queue.pop()
        found += [tuple(step["scale"]) for step in dataset.get("pipeline", []) if step["type"] == "Resize"]
        queue += [dataset["dataset"]] if "dataset" in dataset else dataset.get("datasets", [])
    return found


@pytest.mark.parametrize(
    ("name", "scale", "fraction", "metric"), [("coco", (800, 500), 0.2, "AP"), ("voc", (384, 384), 1.0, "VOC_AP50")]
)
def test_the_protocols_are_the_papers(name: str, scale: tuple[int, int], fraction: float, metric: str) -> None:
    """Section 4.1.2."""
    config = load_config(name)
    stage = super_net_stage(config, seed=3)
    assert set(scales(stage.train_dataloader)) == {scale}
    assert stage.train_dataloader.dataset.data_fraction == fraction
    assert stage.train_dataloader.batch_size == 16
    assert stage.train_cfg.max_epochs == 12
    assert stage.optim_wrapper.optimizer == dict(type="SGD", lr=0.02, momentum=0.9, weight_decay=1e-4)
    assert (stage.model.type, stage.model.l1_weight, stage.model.seed) == ("SuperNetDetector", 1e-4, 3)
    settings = section_of(config, "search")
    assert (settings.population, settings.generations, settings.top_k, settings.mutation_prob) == (50, 12, 10, 0.1)
    assert settings.metric == metric
    space = search_space(config)
    assert (space.num_nodes, str(space.kind), space.size) == (5, "dense", 6**15)


def test_super_net_training_has_no_validation_and_leaves_the_config_alone(shapes_root: Path) -> None:
    config = tiny_config(shapes_root)
    before = config.pretty_text
    stage = super_net_stage(config, seed=0)
    assert config.pretty_text == before
    assert not [key for key in stage if key.startswith(("val", "test_data", "test_eval", "test_cfg"))]
    assert not {"supernet", "search", "retrain"} & set(stage)
    assert stage.train_dataloader.dataset.part == "train"


def test_candidates_see_held_out_images_as_a_test_does(shapes_root: Path) -> None:
    config = tiny_config(shapes_root)
    dataset = search_dataset(config, 0.4, 3)
    assert (dataset.part, dataset.search_split, dataset.max_images) == ("search", 0.4, 3)
    assert dataset.dataset.ann_file == "annotations/train.json"
    assert dataset.dataset.test_mode is True
    assert "filter_cfg" not in dataset.dataset
    steps = [step["type"] for step in dataset.dataset.pipeline]
    assert "RandomFlip" not in steps
    assert scales(dict(dataset=dataset)) == [(64, 64)]
    assert config.train_dataloader.dataset.get("test_mode") is None

    validation = search_dataset(config, 0.0, None)
    assert validation.dataset.ann_file == "annotations/val.json"
    assert validation.search_split == 1.0


def test_concatenated_training_sets_are_held_out_from_too() -> None:
    parts = search_dataset(load_config("voc"), 0.1, None).dataset.datasets
    assert [part.test_mode for part in parts] == [True, True]
    assert not any("filter_cfg" in part for part in parts)
    assert not any(step["type"] == "RandomFlip" for part in parts for step in part.pipeline)


def test_retraining_takes_the_neck_and_its_own_settings(shapes_root: Path) -> None:
    config = tiny_config(shapes_root)
    stage = retrain_stage(with_sub_net(config, SMALL, edge_importance=True))
    assert stage.model.neck.type == "OPAFPN"
    assert stage.model.neck.genotype == ["top_down", "none", "bottom_up"]
    assert stage.model.neck.edge_importance is True
    assert stage.model.neck.out_channels == 8
    assert not {"num_nodes", "space", "paths"} & set(stage.model.neck)
    assert (stage.val_cfg.type, stage.test_cfg.type) == ("ValLoop", "TestLoop")
    assert stage.train_cfg.max_epochs == 1
    assert scales(stage.test_dataloader) == scales(stage.train_dataloader) == [(64, 64)]


def test_a_schedule_is_made_of_plain_settings(shapes_root: Path) -> None:
    config = tiny_config(shapes_root)
    given = dict(epochs=7, batch_size=3, lr=0.5, milestones=[4, 6], warmup_iters=9, grad_clip=2.0)
    apply_schedule(config, RetrainSection(**given))
    assert config.train_cfg == dict(type="EpochBasedTrainLoop", max_epochs=7, val_interval=8)
    assert config.train_dataloader.batch_size == 3
    assert config.optim_wrapper.clip_grad == dict(max_norm=2.0)
    warmup, steps = config.param_scheduler
    assert (warmup["type"], warmup["by_epoch"], warmup["end"]) == ("LinearLR", False, 9)
    assert (steps["milestones"], steps["gamma"]) == ([4, 6], 0.1)
    apply_schedule(config, RetrainSection(warmup_iters=0, milestones=()))
    assert config.param_scheduler == []
    assert config.optim_wrapper.clip_grad is None


@pytest.mark.parametrize("stage", ["supernet", "retrain"])
def test_some_weights_have_learning_rates_of_their_own(shapes_root: Path, stage: str) -> None:
    factors = (f"{stage}.paramwise_cfg.custom_keys.{one}" for one in ("backbone.lr_mult=0.1", "rpn_head.decay_mult=0"))
    config = tiny_config(shapes_root, "faster-rcnn", f"{stage}.lr=0.5", *factors)
    made = super_net_stage(config, seed=0) if stage == "supernet" else retrain_stage(with_sub_net(config, SMALL))
    network = MODELS.build(made.model)
    groups = build_optim_wrapper(network, made.optim_wrapper).optimizer.param_groups
    settings = {id(weight): (group["lr"], group["weight_decay"]) for group in groups for weight in group["params"]}
    decay = section_of(config, stage).weight_decay
    expected = {"backbone": (0.05, decay), "rpn_head": (0.5, 0), "neck": (0.5, decay)}
    for name, weight in network.named_parameters():
        for part, values in expected.items():
            if part in name.split("."):
                assert settings[id(weight)] == pytest.approx(values), name
    assert {part for part in expected for name, _ in network.named_parameters() if part in name} == {*expected}


@pytest.mark.parametrize(
    "factors",
    [
        *("=2", ".bias_lr_mul=2", ".bias_lr_mult=fast", ".bypass_duplicate=2", ".custom_keys=2"),
        *(".custom_keys.backbone=0.1", ".custom_keys.backbone.lr=0.1", ".custom_keys.backbone.lr_mult=-1"),
    ],
)
def test_factors_that_mmengine_would_ignore_or_fail_by_are_refused(shapes_root: Path, factors: str) -> None:
    with pytest.raises(InvalidConfigError, match=r"retrain\.paramwise_cfg must be a dict of bias_lr_mult, "):
        tiny_config(shapes_root, "faster-rcnn", f"retrain.paramwise_cfg{factors}")


@pytest.mark.parametrize(("optimizer", "fused"), [("AdamW", True), ("SGD", None)])
def test_only_updates_that_bear_late_gradients_are_fused(shapes_root: Path, optimizer: str, fused: bool | None) -> None:
    """torch's fused SGD fails if a weight gets its first gradient after others got theirs."""
    config = tiny_config(shapes_root, "faster-rcnn", f"supernet.optimizer={optimizer}")
    settings = dict(super_net_stage(config, seed=0).optim_wrapper.optimizer)
    assert settings.get("fused") is fused
    settings.pop("type")
    early, late = (torch.nn.Parameter(torch.ones(2)) for _ in range(2))
    update = getattr(torch.optim, optimizer)([early, late], **settings)
    for weights in ([early], [early, late]):
        update.zero_grad()
        sum(weight.sum() for weight in weights).backward()
        update.step()
    assert (late < 1).all()


@pytest.mark.parametrize("stage", ["supernet", "search"])
def test_unknown_settings_are_named(shapes_root: Path, stage: str) -> None:
    config = tiny_config(shapes_root)
    config[stage].epoch = 3
    with pytest.raises(InvalidConfigError, match=rf"{stage}\.epoch is not a setting"):
        section_of(config, stage)


def test_the_shared_config_and_the_defaults_agree() -> None:
    """What the defaults say, configs of the paper's protocol need not repeat, and do not contradict."""
    runtime = Config.fromfile(str(shipped_configs()["coco"].parent / "_base_" / "runtime.py"))
    said = [(stage, name, value) for stage in STAGES for name, value in (runtime.get(stage) or {}).items()]
    assert {name for _, name, _ in said} == {"image_scale"}
    assert not [name for stage, name, value in said if getattr(STAGES[stage], name) not in (None, value)]
    assert runtime.cost_input == DEFAULT_INPUT


def test_candidates_see_each_image_once_and_unmixed(shapes_root: Path) -> None:
    config = tiny_config(shapes_root)
    inner = config.train_dataloader.dataset
    mixed = dict(type="MultiImageMixDataset", dataset=inner, pipeline=[dict(type="Mosaic")])
    config.train_dataloader.dataset = dict(type="RepeatDataset", times=3, dataset=mixed)
    dataset = search_dataset(config, 0.4, None).dataset
    assert (dataset.type, dataset.test_mode) == ("CocoDataset", True)
    assert "Mosaic" not in str(dataset)
