"""What two processes do together, for `test_processes.py`: one program, since each process imports mmdet for seconds.

    python two_processes.py FOLDER DATA_ROOT DEVICE OPTION…

Needs torchrun's environment; MASTER_PORT counts up from check to check. Each process writes what its checks gave to
FOLDER/RANK.json, or the traceback of the one that failed.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from mmdet.structures import DetDataSample
from mmengine.dist import all_gather_object, barrier
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from tiny_config import tiny_config
from torch.nn.modules.batchnorm import _BatchNorm

from opanas_cli.commands import run
from opanas_cli.detection.processes import group, rendezvous
from opanas_cli.detection.processes.group import from_first, in_each, joined, once_per_machine
from opanas_cli.detection.processes.replicas import average_gradients, mean_logs
from opanas_cli.detection.spent import Meter
from opanas_cli.detection.training.mixture_detector import MixtureDetector, MixtureOptimizers
from opanas_cli.detection.training.resumable_loop import ResumableTrainLoop
from opanas_cli.detection.training.super_net_detector import SuperNetDetector
from opanas_cli.errors import InvalidDataError, OpanasError, UsageError
from opanas_cli.search.fair_sampling import fair_genotypes, step_generator

RANK = int(os.environ["RANK"])
FOLDER, DATA_ROOT, DEVICE, OPTIONS = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4:]
WATCHED = ("supernet.watch_interval=1", "supernet.watch_sub_nets=3")
IMAGES = 4
EVOLVE = ("--population", "4", "--generations", "1", "--top-k", "2")
EVERYTHING = {"type": "RandomSampler", "num": 10**6, "pos_fraction": 1.0, "add_gt_as_proposals": False}


def detector(norm_eval: bool = True) -> SuperNetDetector:
    """A detector whose losses are means over the images.

    The heads take every anchor and every proposal, of which each image has as many: so what they divide by is the
    same in all halves of a batch. Batch norm does not look at the batch.
    """
    config = tiny_config(DATA_ROOT)
    config.model.train_cfg.rpn.sampler = dict(EVERYTHING)
    config.model.train_cfg.rcnn.sampler = dict(EVERYTHING)
    config.model.train_cfg.rpn_proposal.max_per_img = 20
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope("mmdet"):
        model = SuperNetDetector(config.model, l1_weight=0.25).double().train()
    for module in model.modules():
        if isinstance(module, _BatchNorm) and norm_eval:
            module.train(False)
            module.train = lambda mode, module=module: module
    return model


def batch(images: slice, boxes: tuple[tuple[float, ...], ...] = ((4, 6, 40, 50), (30, 20, 60, 62))) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (IMAGES, 3, 64, 64), generator=generator, dtype=torch.uint8)
    sample = DetDataSample(metainfo={"img_shape": (64, 64), "ori_shape": (64, 64), "scale_factor": (1.0, 1.0)})
    labels = torch.arange(len(boxes))
    sample.gt_instances = InstanceData(bboxes=torch.tensor(boxes, dtype=torch.double).reshape(-1, 4), labels=labels)
    chosen = list(pixels[images])
    return {"inputs": chosen, "data_samples": [sample.clone() for _ in chosen]}


def optimizer(model: SuperNetDetector) -> OptimWrapper:
    return OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.5), clip_grad={"max_norm": 0.1})


def own_half() -> slice:
    half = IMAGES // 2
    return slice(RANK * half, (RANK + 1) * half)


def a_step_on_halves_is_a_step_on_the_whole_batch() -> dict[str, float]:
    """The greatest difference, relative to the greatest value of each tensor; clipping is a part of the step."""
    whole = detector()
    before = [parameter.detach().clone() for parameter in whole.parameters()]
    expected = whole.train_step(batch(slice(None)), optimizer(whole))
    model = detector()
    with joined(DEVICE):
        logs = model.train_step(batch(own_half()), optimizer(model))
    moved = [(after - start).detach() for after, start in zip(whole.parameters(), before, strict=True)]
    got = [(after - start).detach() for after, start in zip(model.parameters(), before, strict=True)]
    return {
        "parameters": max(_difference(one, other) for one, other in zip(got, moved, strict=True)),
        "loss": abs(float(logs["loss"] - expected["loss"])),
        "moved": sum(bool(value.any()) for value in moved) / len(moved),
    }


def mixture(second_order: bool) -> MixtureDetector:
    """A detector as `detector` makes it, trained as a mixture."""
    plain = detector()
    with DefaultScope.overwrite_default_scope("mmdet"):
        model = MixtureDetector(tiny_config(DATA_ROOT).model, method="fair-darts", second_order=second_order)
    model.double().train().detector = plain.detector
    return model


def a_step_of_a_mixture_on_halves_is_one_on_the_whole_batch() -> list[float]:
    """The greatest difference of the architecture parameters and of the weights, in the first and second order."""
    differences = []
    for second_order in (False, True):
        whole, model = mixture(second_order), mixture(second_order)
        wrappers = [
            MixtureOptimizers(
                dict(optimizer=dict(type="SGD", lr=0.01), architecture=dict(lr=0.1, weight_decay=0.0, eps=1e-3))
            )(one)
            for one in (whole, model)
        ]
        everything, half = slice(None), own_half()
        held_out = ((8, 8, 32, 32), (4, 6, 40, 50))
        whole.train_step({"training": batch(everything), "held_out": batch(everything, held_out)}, wrappers[0])
        with joined(DEVICE):
            model.train_step({"training": batch(half), "held_out": batch(half, held_out)}, wrappers[1])
        _next_port()
        before = list(mixture(second_order).parameters())
        moved = [
            [(after - start).detach() for after, start in zip(each.parameters(), before, strict=True)]
            for each in (model, whole)
        ]
        differences.append(max(_difference(one, other) for one, other in zip(*moved, strict=True)))
    return differences


def gradients_on_halves_are_those_on_the_whole_batch() -> float:
    whole, model = detector(), detector()
    genotypes = fair_genotypes(whole.detector.neck.search_space, step_generator(0, 0))
    whole.accumulate_gradients(batch(slice(None)), genotypes, optimizer(whole))
    with joined(DEVICE):
        model.accumulate_gradients(batch(own_half()), genotypes, optimizer(model))
        average_gradients(model.parameters())
    pairs = zip(model.parameters(), whole.parameters(), strict=True)
    return max(_difference(one.grad, other.grad) for one, other in pairs)


def _difference(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).abs().max() / other.abs().max().clamp(min=1e-12))


def a_parameter_without_gradient_in_one_process_counts_as_zero() -> list[Any]:
    parameters = [torch.nn.Parameter(torch.zeros(3)) for _ in range(3)]
    parameters[0].grad = torch.full((3,), 1.0 + RANK)
    parameters[1].grad = torch.ones(3) if RANK else None
    with joined(DEVICE):
        average_gradients(parameters)
    return [None if parameter.grad is None else parameter.grad.tolist() for parameter in parameters]


def a_loss_that_one_process_leaves_out() -> list[Any]:
    batches = [{"loss": 1.0}, {"loss": 1.0, "cls": 3.0}, {"loss": 1.0}, {"acc": 5.0, "loss": 2.0, "cls": 3.0}]
    if RANK:
        batches = [{"cls": 4.0, "loss": 2.0}, {"loss": 2.0, "cls": 4.0}, {"loss": float("nan")}, {"loss": 4.0}]
    with joined(DEVICE):
        device = "cpu" if DEVICE == "cpu" else f"cuda:{RANK}"
        logs = [{name: torch.tensor(value, device=device) for name, value in one.items()} for one in batches]
        told = [mean_logs(one) for one in logs]
    return [{name: str(float(value)) for name, value in one.items()} for one in told]


def processes_stay_the_same() -> bool:
    """Weights and running statistics, where one batch has no object and batch norm sees each batch alone."""
    model = detector(norm_eval=False)
    wrapped = optimizer(model)
    with joined(DEVICE):
        for _ in range(2):
            model.train_step(batch(own_half(), () if RANK else ((4, 6, 40, 50),)), wrapped)
        states = all_gather_object({name: value.clone() for name, value in model.state_dict().items()})
    started = detector(norm_eval=False).state_dict()
    name = "detector.backbone.bn1.running_mean"
    assert not torch.equal(states[0][name], started[name])
    return all(torch.equal(states[0][name], states[1][name]) for name in started)


def a_loss_that_is_not_finite_in_one_process_stops_both() -> str:
    model = detector()
    if RANK:
        with torch.no_grad():
            model.detector.rpn_head.rpn_cls.bias.fill_(float("inf"))
    with joined(DEVICE):
        return _error(lambda: model.train_step(batch(own_half()), optimizer(model)))


def what_the_first_knows() -> list[str]:
    def refuse() -> None:
        raise InvalidDataError("no images")

    with joined(DEVICE):
        known = from_first(lambda: f"of process {RANK}")
        refused = _error(lambda: from_first(refuse))
        once_per_machine(lambda: None)
        os.environ["LOCAL_RANK"] = "0"
        checked = _error(lambda: once_per_machine(refuse if RANK else lambda: None))
        os.environ["LOCAL_RANK"] = str(RANK)
        each = in_each(lambda: f"in process {RANK}")
        one_refused = _error(lambda: in_each(refuse if RANK else lambda: None))
    return [known, refused, checked, each, one_refused]


def the_first_may_work_for_longer_than_a_collective() -> list[str]:
    def slow() -> str:
        time.sleep(5)
        return "done"

    timeout, group.TIMEOUT = group.TIMEOUT, timedelta(seconds=4)
    with joined(DEVICE):
        known = [from_first(slow), in_each(lambda: "quick" if RANK else slow())]
    group.TIMEOUT = timeout
    return known


def _error(call: Callable[[], Any]) -> str:
    try:
        call()
    except OpanasError as error:
        return f"{type(error).__name__}: {error}"
    return "nothing"


def errors_of_all_of_one_and_of_each() -> list[str]:
    def fail(of: str, waiting: bool) -> None:
        with joined(DEVICE):
            if of:
                raise UsageError(of)
            if waiting:
                barrier()

    told = [_error(lambda: fail("all alike", False))]
    _next_port()
    told.append(_error(lambda: fail("alone" if RANK else "", True)))
    _next_port()
    told.append(_error(lambda: fail(f"mine, {RANK}", False)))
    return told


def commands() -> dict[str, Any]:
    given = ["--device", DEVICE, "--work-dir", str(FOLDER / "work")]
    options = ["--cfg-options", *OPTIONS]
    lines = {
        "unknown option": ["train-supernet", "shapes", "--frob"],
        "unknown config": ["train-supernet", "no-such-config", *given],
        "one device": ["train-supernet", "shapes", "--device", "cuda:0"],
        "train-supernet": ["train-supernet", "shapes", *given, *options, *WATCHED],
        "retrain": ["retrain", "shapes", "--genotype", "fpn", *given, *options],
        "evolve": ["evolve", "shapes", str(FOLDER / "work" / "supernet.pth"), *given, *EVOLVE, *options],
        "evolve again": ["evolve", "shapes", str(FOLDER / "work" / "supernet.pth"), *given, *EVOLVE, *options],
    }
    told = {}
    for name, line in lines.items():
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run(line)
        told[name] = [code, out.getvalue(), err.getvalue()]
        _next_port()
    return told


def a_training_that_was_stopped_goes_on() -> list[Any]:
    """The exit codes of an undisturbed, a stopped and a resumed run, and whether the first and the last end alike."""
    run_iter = ResumableTrainLoop.run_iter

    def stopping(loop: ResumableTrainLoop, index: int, data: Any) -> None:
        if loop.iter == 2:
            raise OpanasError("stopped")
        run_iter(loop, index, data)

    def train(folder: str, *more: str) -> int:
        given = ["--device", DEVICE, "-q", "--work-dir", str(FOLDER / folder), *more]
        options = ["--cfg-options", *OPTIONS, "supernet.batch_size=1", "checkpoints.steps=1"]
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            code = run(["train-supernet", "shapes", *given, *options])
        _next_port()
        return code

    codes = [train("whole")]
    ResumableTrainLoop.run_iter = stopping  # type: ignore[method-assign]
    codes.append(train("stopped"))
    ResumableTrainLoop.run_iter = run_iter  # type: ignore[method-assign]
    codes.append(train("stopped", "--resume"))
    if RANK:  # The first process writes.
        return codes
    files = [FOLDER / folder / "supernet.pth" for folder in ("whole", "stopped")]
    return [*codes, files[0].read_bytes() == files[1].read_bytes()]


def a_process_that_dies() -> str:
    """The last check: the second process is gone after it."""

    def wait() -> None:
        with joined(DEVICE):
            barrier()
            if RANK:
                os._exit(9)
            barrier()

    return _error(wait)


def _next_port() -> None:
    os.environ["MASTER_PORT"] = str(int(os.environ["MASTER_PORT"]) + 1)


CHECKS = (
    a_step_on_halves_is_a_step_on_the_whole_batch,
    gradients_on_halves_are_those_on_the_whole_batch,
    a_step_of_a_mixture_on_halves_is_one_on_the_whole_batch,
    a_parameter_without_gradient_in_one_process_counts_as_zero,
    a_loss_that_one_process_leaves_out,
    processes_stay_the_same,
    a_loss_that_is_not_finite_in_one_process_stops_both,
    what_the_first_knows,
    the_first_may_work_for_longer_than_a_collective,
    errors_of_all_of_one_and_of_each,
    commands,
    a_training_that_was_stopped_goes_on,
    a_process_that_dies,
)


def main() -> None:
    group.SECONDS_TO_AGREE = 1.0
    rendezvous.SECONDS_TO_REPORT = 0.1
    Meter.measured = lambda self: (0.0, 0.0)  # type: ignore[method-assign]
    results: dict[str, Any] = {}
    for check in CHECKS:
        # Before the last check ends this process, all others are on the disk.
        (FOLDER / f"{RANK}.json").write_text(json.dumps(results))
        try:
            results[check.__name__] = check()
        except Exception:
            results[check.__name__] = {"failed": traceback.format_exc()}
        _next_port()
    (FOLDER / f"{RANK}.json").write_text(json.dumps(results))


if __name__ == "__main__":
    main()
