"""The shared super-net step against the obvious slow one: K passes of the whole detector."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from tiny_config import tiny_config
from torch import Tensor

from opanas_cli.detection.configs.files import parse_overrides
from opanas_cli.detection.training.super_net_detector import SuperNetDetector
from opanas_cli.errors import InvalidConfigError, OpanasError
from opanas_cli.search.fair_sampling import fair_genotypes, step_generator

L1_WEIGHT = 0.25


def build(config: Config, **options: Any) -> SuperNetDetector:
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope("mmdet"):
        model = SuperNetDetector(config.model, **{"l1_weight": L1_WEIGHT, **options})
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "offset" in name or "edge_importance" in name:
                parameter += 0.1 * torch.randn_like(parameter)
    return model.double().train()


def batch() -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    samples = []
    for boxes, labels in (
        ([[4.0, 6.0, 40.0, 50.0], [30.0, 20.0, 60.0, 62.0]], [0, 2]),
        ([[8.0, 8.0, 32.0, 32.0]], [1]),
    ):
        sample = DetDataSample(metainfo={"img_shape": (64, 64), "ori_shape": (64, 64), "scale_factor": (1.0, 1.0)})
        sample.gt_instances = InstanceData(bboxes=torch.tensor(boxes), labels=torch.tensor(labels))
        samples.append(sample)
    images = [torch.randint(0, 256, (3, 64, 64), generator=generator, dtype=torch.uint8) for _ in samples]
    return {"inputs": images, "data_samples": samples}


def wrapper(model: SuperNetDetector, lr: float = 0.01) -> OptimWrapper:
    return OptimWrapper(torch.optim.SGD(model.parameters(), lr=lr))


def gradients(model: SuperNetDetector) -> dict[str, Tensor | None]:
    return {name: parameter.grad for name, parameter in model.detector.named_parameters()}


def gradients_of_full_passes(model: SuperNetDetector) -> tuple[dict[str, Tensor | None], Tensor]:
    """Of the mean of K losses, each of a pass through the whole detector, and the L1 norm (Eq. 12)."""
    detector = model.detector
    torch.manual_seed(1)
    data = model.data_preprocessor(batch(), True)
    losses = []
    for genotype in fair_genotypes(detector.neck.search_space, step_generator(model.seed, 0)):
        with detector.neck.running(genotype):
            losses.append(detector.parse_losses(detector.loss(data["inputs"], data["data_samples"]))[0])
    total = torch.stack(losses).mean() + model.l1_weight * detector.neck.edge_importance.abs().sum()
    total.backward()
    return gradients(model), total.detach()


@pytest.mark.parametrize(
    ("detector", "space"),
    [("faster-rcnn", "dense"), ("faster-rcnn", "chain"), ("cascade-rcnn", "dense"), ("retinanet", "dense")],
)
def test_a_shared_step_has_the_gradients_of_k_full_passes(shapes_root: Path, detector: str, space: str) -> None:
    config = tiny_config(shapes_root, detector)
    config.model.neck.space = space
    slow, fast = build(config), build(config)
    expected, loss = gradients_of_full_passes(slow)

    torch.manual_seed(1)
    genotypes = fair_genotypes(fast.detector.neck.search_space, step_generator(fast.seed, 0))
    logs = fast.accumulate_gradients(batch(), genotypes, wrapper(fast))

    for name, gradient in gradients(fast).items():
        if expected[name] is None:
            assert gradient is None, f"{name} has a gradient that a full pass does not give it"
        else:
            assert torch.allclose(gradient, expected[name], rtol=1e-9, atol=1e-11), name
    assert all(value is not None and value.isfinite().all() for value in expected.values())
    assert expected["backbone.conv1.weight"].abs().sum() > 0
    assert torch.allclose(logs["loss"], loss, rtol=1e-12)


def test_two_threads_give_the_same_gradients_every_time(shapes_root: Path) -> None:
    before = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 2, 2):
            torch.set_num_threads(threads)
            model = build(tiny_config(shapes_root)).float()
            torch.manual_seed(1)
            genotypes = fair_genotypes(model.detector.neck.search_space, step_generator(model.seed, 0))
            model.accumulate_gradients(batch(), genotypes, wrapper(model))
            found.append(gradients(model))
    finally:
        torch.set_num_threads(before)
    one, two, again = found
    for name, gradient in two.items():
        assert torch.equal(gradient, again[name]), name
        assert torch.allclose(gradient, one[name], rtol=1e-2, atol=1e-3 * one[name].abs().max()), name


def test_the_backbone_runs_once_and_every_path_of_an_edge_once(shapes_root: Path) -> None:
    model = build(tiny_config(shapes_root))
    ran: list[str] = []
    model.detector.backbone.register_forward_hook(lambda *_: ran.append("backbone"))
    model.detector.neck.input_pyramid.register_forward_hook(lambda *_: ran.append("input"))
    for edge, choices in model.detector.neck.paths.items():
        for path, module in choices.items():
            module.register_forward_hook(lambda *_, name=f"{edge} {path}": ran.append(name))
    model.train_step(batch(), wrapper(model))
    paths = ("top_down", "bottom_up", "scale_equalizing", "fusing_splitting")
    expected = ["backbone", "input", *(f"{edge} {path}" for edge in ("0_1", "0_2", "1_2") for path in paths)]
    assert sorted(ran) == sorted(expected)


def test_a_step_updates_all_that_is_trained_and_counts_itself(shapes_root: Path) -> None:
    model = build(tiny_config(shapes_root))
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    logs = model.train_step(batch(), wrapper(model))
    assert int(model.step) == 1
    assert logs["edge_l1"] > 0
    assert {"loss", "loss_rpn_cls", "loss_rpn_bbox", "loss_cls", "loss_bbox"} <= set(logs)
    unchanged = [name for name, parameter in model.named_parameters() if torch.equal(parameter, before[name])]
    assert not unchanged
    assert all(parameter.grad is None or not parameter.grad.any() for parameter in model.parameters())


def test_steps_differ_by_seed_and_number_alone(shapes_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def drawn(seed: int, first: int, count: int) -> list[Any]:
        model = build(tiny_config(shapes_root), seed=seed)
        model.step.fill_(first)
        genotypes: list[Any] = []
        monkeypatch.setattr(
            model, "accumulate_gradients", lambda data, chosen, _: genotypes.append(chosen) or {"loss": torch.ones(())}
        )
        for _ in range(count):
            model.train_step({}, wrapper(model))
        return genotypes

    assert drawn(0, 0, 4) == drawn(0, 0, 2) + drawn(0, 2, 2)
    assert drawn(0, 0, 4) != drawn(1, 0, 4)
    assert len(set(drawn(0, 0, 4))) > 1


def test_edge_importances_can_be_left_out(shapes_root: Path) -> None:
    config = tiny_config(shapes_root)
    config.model.neck.edge_importance = False
    model = build(config)
    logs = model.train_step(batch(), wrapper(model))
    assert logs["edge_l1"] == 0
    assert torch.isfinite(logs["loss"])


SHARED = "model.roi_head.bbox_head.type=Shared4Conv1FCBBoxHead"


@pytest.mark.parametrize(
    ("detector", "part", "options"),
    [
        ("faster-rcnn", "roi_head.bbox_head", (SHARED, "model.roi_head.bbox_head.conv_out_channels=8")),
        ("cascade-rcnn", "roi_head.bbox_head.1", ()),
        ("retinanet", "bbox_head", ()),
    ],
)
def test_batch_norm_behind_the_backbone_is_refused(
    shapes_root: Path, detector: str, part: str, options: tuple[str, ...]
) -> None:
    config = tiny_config(shapes_root, detector, *options)
    if detector == "cascade-rcnn":
        config.model.roi_head.bbox_head[1].update(type="Shared4Conv1FCBBoxHead", conv_out_channels=8)
    config.merge_from_dict({f"model.{part}.norm_cfg.type": "BN"})
    way_out = f"--cfg-options model.{part}.norm_cfg.type=GN model.{part}.norm_cfg.num_groups=8"
    with pytest.raises(InvalidConfigError, match=f"^{part}: norm_cfg: batch norm in a super-net .*; use .*{way_out}$"):
        build(config)
    config.merge_from_dict(parse_overrides(way_out.split()[1:]))
    build(config)
    config.model.backbone.norm_eval = True
    build(config)


def test_a_loss_that_is_not_finite_stops_before_the_update(shapes_root: Path) -> None:
    model = build(tiny_config(shapes_root))
    with torch.no_grad():
        model.detector.rpn_head.rpn_cls.bias.fill_(float("inf"))
    before = model.detector.backbone.conv1.weight.detach().clone()
    with pytest.raises(OpanasError, match=r"the loss is (nan|inf) at step 1; lower supernet.lr"):
        model.train_step(batch(), wrapper(model))
    assert torch.equal(model.detector.backbone.conv1.weight, before)
    assert int(model.step) == 0
