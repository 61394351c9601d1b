"""Mixed precision: what each device gets, the shared step under it and under a loss scale, the loss curve."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import mmengine.optim.optimizer.amp_optimizer_wrapper as amp_optimizer_wrapper
import mmengine.runner.amp
import pytest
import torch
from mmengine.config import Config
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from test_super_net_detector import batch, build, gradients
from tiny_config import tiny_config

from opanas_cli.commands import run
from opanas_cli.detection.operators.stand_in import MODULE
from opanas_cli.detection.training.mixed_precision import CpuAmpOptimWrapper, fit_precision, use_mixed_precision
from opanas_cli.detection.training.progress import MOST_IN_A_ROW, FiniteLoss, ProgressHook
from opanas_cli.detection.training.super_net_detector import SuperNetDetector
from opanas_cli.errors import InvalidConfigError, OpanasError
from opanas_cli.search.fair_sampling import fair_genotypes, step_generator

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def fitted(device: torch.device, **settings: Any) -> dict[str, Any]:
    config = Config(dict(optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.1), **settings)))
    fit_precision(config, device)
    return {name: value for name, value in config.optim_wrapper.items() if name != "optimizer"}


@pytest.mark.parametrize(
    ("card_has_it", "compiled_mmcv", "expected"),
    [
        (True, False, dict(dtype="bfloat16", loss_scale=dict(enabled=False))),
        (True, True, dict(dtype="float16")),
        (False, False, dict(dtype="float16")),
    ],
)
def test_a_gpu_gets_bfloat16_where_it_has_it(
    monkeypatch: pytest.MonkeyPatch, card_has_it: bool, compiled_mmcv: bool, expected: dict[str, Any]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: card_has_it)
    if compiled_mmcv:
        monkeypatch.setitem(sys.modules, MODULE, ModuleType(MODULE))
    assert fitted(CUDA, type="AmpOptimWrapper") == dict(type="AmpOptimWrapper", **expected)


def test_what_a_config_says_stays() -> None:
    given = dict(type="AmpOptimWrapper", dtype="float16", loss_scale=512.0)
    assert fitted(CUDA, **given) == given
    assert fitted(CPU, type="OptimWrapper") == dict(type="OptimWrapper")
    assert fitted(CPU, **given) == dict(type="CpuAmpOptimWrapper")


def test_wrappers_of_another_kind_are_refused() -> None:
    config = Config(dict(optim_wrapper=dict(type="ApexOptimWrapper")))
    with pytest.raises(InvalidConfigError, match=r"optim_wrapper.type: .* this is ApexOptimWrapper; leave --amp out"):
        use_mixed_precision(config)


def test_a_shared_step_has_the_gradients_of_full_passes_in_the_same_precision(shapes_root: Path) -> None:
    slow, fast = (build(tiny_config(shapes_root)).float() for _ in range(2))
    genotypes = fair_genotypes(slow.detector.neck.search_space, step_generator(slow.seed, 0))
    torch.manual_seed(1)
    optimizer = CpuAmpOptimWrapper(torch.optim.SGD(slow.parameters(), lr=0.01))
    for genotype in genotypes:
        with optimizer.optim_context(slow), slow.detector.neck.running(genotype):
            data = slow.data_preprocessor(batch(), True)
            losses = slow.detector.loss(data["inputs"], data["data_samples"])
        optimizer.backward(slow.detector.parse_losses(losses)[0] / len(genotypes))
    optimizer.backward(slow.l1_weight * slow.detector.neck.edge_l1())
    torch.manual_seed(1)
    fast.accumulate_gradients(batch(), genotypes, CpuAmpOptimWrapper(torch.optim.SGD(fast.parameters(), lr=0.01)))
    expected = gradients(slow)
    for name, gradient in gradients(fast).items():
        # The sum over sub-nets goes back through the backbone in bfloat16 once here, and sub-net by sub-net there.
        assert float((gradient - expected[name]).norm()) <= 0.05 * float(expected[name].norm()) + 1e-7, name


def test_the_gradients_of_sub_nets_add_up_in_float32(shapes_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = build(tiny_config(shapes_root)).float()
    genotypes = fair_genotypes(model.detector.neck.search_space, step_generator(model.seed, 0))
    optimizer = CpuAmpOptimWrapper(torch.optim.SGD(model.parameters(), lr=0.01))
    project = model.detector.neck.project
    sent: list[list[torch.Tensor]] = []

    def watched(features: Any) -> list[torch.Tensor]:
        pyramid = [level.bfloat16() for level in project(features)]
        for level in pyramid:
            level.retain_grad()
        sent.append(pyramid)
        return pyramid

    monkeypatch.setattr(model.detector.neck, "project", watched)
    # The heads sample boxes at random: each sub-net must meet the same state alone and among the others.
    losses = model._losses

    def seeded(pyramid: Any, genotype: Any, data: Any) -> Any:
        torch.manual_seed(genotypes.index(genotype))
        return losses(pyramid, genotype, data)

    monkeypatch.setattr(model, "_losses", seeded)
    for chosen in (genotypes, *((genotype,) for genotype in genotypes)):
        model.accumulate_gradients(batch(), chosen, optimizer)
    together, *alone = [[level.grad for level in pyramid] for pyramid in sent]
    for level, gradient in enumerate(together):
        # A quarter of each is exact in bfloat16, so the only rounding left is that of the sum.
        expected = sum(part[level].float() / len(genotypes) for part in alone)
        assert torch.equal(gradient, expected.bfloat16())


@pytest.fixture
def scaled(monkeypatch: pytest.MonkeyPatch) -> Callable[..., AmpOptimWrapper]:
    """Makes mmengine's wrapper with a loss scale, on the CPU and in full precision: there it must change nothing."""
    monkeypatch.setattr(amp_optimizer_wrapper, "is_cuda_available", lambda: True)
    monkeypatch.setattr(amp_optimizer_wrapper, "GradScaler", partial(torch.amp.GradScaler, "cpu"))
    monkeypatch.setattr(mmengine.runner.amp, "autocast", lambda **_: nullcontext())

    def make(model: SuperNetDetector, scale: float, **options: Any) -> AmpOptimWrapper:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        return AmpOptimWrapper(loss_scale=dict(init_scale=scale), optimizer=optimizer, **options)

    return make


def weights(model: SuperNetDetector) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.named_parameters()}


@pytest.mark.parametrize("clip", [None, dict(max_norm=0.1)])
def test_a_loss_scale_changes_no_step(shapes_root: Path, scaled: Any, clip: Any) -> None:
    plain, under_scale = (build(tiny_config(shapes_root)).float() for _ in range(2))
    for model, optimizer in (
        (plain, OptimWrapper(torch.optim.SGD(plain.parameters(), lr=0.01), clip_grad=clip)),
        (under_scale, scaled(under_scale, 1024.0, clip_grad=clip)),
    ):
        torch.manual_seed(1)
        model.train_step(batch(), optimizer)
    after = weights(under_scale)
    assert all(torch.allclose(value, after[name], rtol=1e-5, atol=1e-7) for name, value in weights(plain).items())
    assert not torch.equal(
        after["detector.backbone.conv1.weight"],
        weights(build(tiny_config(shapes_root)).float())["detector.backbone.conv1.weight"],
    )


def test_a_step_whose_scaled_gradients_overflow_is_left_out(shapes_root: Path, scaled: Any) -> None:
    model = build(tiny_config(shapes_root)).float()
    model.detector.rpn_head.loss_cls.loss_weight = 1e6
    optimizer, before = scaled(model, 2.0**127), weights(model)
    model.train_step(batch(), optimizer)
    assert all(torch.equal(value, before[name]) for name, value in weights(model).items())
    assert optimizer.loss_scaler.get_scale() == 2.0**126
    assert int(model.step) == 1


def test_a_loss_that_stays_infinite_is_an_error_in_spite_of_a_scale(shapes_root: Path, scaled: Any) -> None:
    model = build(tiny_config(shapes_root)).float()
    with torch.no_grad():
        model.detector.rpn_head.rpn_cls.bias.fill_(float("inf"))
    optimizer = scaled(model, 1024.0)
    assert not model.train_step(batch(), optimizer)["loss"].isfinite()
    model.finite_loss.in_a_row = MOST_IN_A_ROW - 1
    with pytest.raises(OpanasError, match=r"at step 2; lower supernet\.lr"):
        model.train_step(batch(), optimizer)


def test_the_progress_leaves_out_what_a_scale_leaves_out(shapes_root: Path, scaled: Any) -> None:
    optimizer = scaled(build(tiny_config(shapes_root)), 1024.0)
    runner: Any = SimpleNamespace(optim_wrapper=optimizer, iter=0, epoch=0, max_iters=99, max_epochs=1)
    hook = ProgressHook(None, FiniteLoss("lower the learning rate"))
    infinite = [float("inf")] * (MOST_IN_A_ROW - 1)
    for loss in (*infinite, 2.0, *infinite):
        hook.after_train_iter(runner, 0, outputs={"loss": torch.tensor(loss)})
    assert hook.mean_losses(99) == (2.0, 2.0)
    with pytest.raises(OpanasError, match="the loss is inf at step 1; lower the learning rate"):
        hook.after_train_iter(runner, 0, outputs={"loss": torch.tensor(float("inf"))})


def test_the_progress_does_not_check_a_second_time_what_a_super_net_checks(shapes_root: Path, scaled: Any) -> None:
    optimizer = scaled(build(tiny_config(shapes_root)), 1024.0)
    runner: Any = SimpleNamespace(optim_wrapper=optimizer, iter=0, epoch=0, max_iters=99, max_epochs=1)
    hook = ProgressHook(None)
    for loss in (*[float("inf")] * (2 * MOST_IN_A_ROW), 2.0):
        hook.after_train_iter(runner, 0, outputs={"loss": torch.tensor(loss)})
    assert hook.mean_losses(99) == (2.0, 2.0)


def curve(root: Path, wrapper: type[OptimWrapper], lr: float = 0.001, steps: int = 24) -> torch.Tensor:
    model = build(tiny_config(root), l1_weight=1e-4).float()
    optimizer = wrapper(torch.optim.AdamW(model.parameters(), lr=lr), clip_grad=dict(max_norm=10.0))
    torch.manual_seed(0)
    return torch.stack([model.train_step(batch(), optimizer)["loss"].float() for _ in range(steps)])


@pytest.mark.slow
def test_the_loss_curve_follows_that_of_float32(shapes_root: Path) -> None:
    """The boxes that heads sample part ways after some steps: as far as other seeds are apart, and no further."""
    full, mixed = curve(shapes_root, OptimWrapper), curve(shapes_root, CpuAmpOptimWrapper)
    assert full[-5:].mean() < 0.45 * full[:5].mean()
    assert ((mixed - full).abs() / full)[:10].max() < 0.08
    assert (mixed - full).abs().mean() < 0.1
    other = curve(shapes_root, OptimWrapper, lr=0.0012)
    assert (other - full).abs().mean() > 0.1, "the tolerance would let a fifth more of the learning rate pass"


@pytest.mark.parametrize("command", ["train-supernet", "retrain"])
def test_the_commands_train_in_mixed_precision(
    tiny_options: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    ran: list[torch.dtype] = []
    context = CpuAmpOptimWrapper.optim_context

    def watched(self: CpuAmpOptimWrapper, model: Any) -> Any:
        ran.append(torch.bfloat16)
        return context(self, model)

    monkeypatch.setattr(CpuAmpOptimWrapper, "optim_context", watched)
    genotype = ["--genotype", "opa-fpn"] if command == "retrain" else []
    options = ["--work-dir", str(tmp_path), "--device", "cpu", "-q", "--amp", "--cfg-options", *tiny_options]
    if command == "retrain":
        options.append("model.neck.num_nodes=5")
    assert run([command, "shapes", *genotype, *options]) == 0
    assert ran


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_step_on_a_gpu(shapes_root: Path, dtype: str) -> None:
    model = build(tiny_config(shapes_root)).float().cuda()
    optimizer = AmpOptimWrapper(dtype=dtype, optimizer=torch.optim.SGD(model.parameters(), lr=0.01))
    before = weights(model)
    losses = [float(model.train_step(batch(), optimizer)["loss"]) for _ in range(20)]
    assert losses[-1] < losses[0]
    assert any(not torch.equal(value, before[name]) for name, value in weights(model).items())
