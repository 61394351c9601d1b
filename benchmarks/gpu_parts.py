"""The parts of benchmarks/gpu.py: each measures in one precision and returns rows."""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import evaluate
import latency
import step
import torch
from measuring import PRECISIONS, OutOfTimeError, free, seconds_of
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity

from opanas_cli.detection.configs.files import load_config
from opanas_cli.detection.configs.necks import with_sub_net
from opanas_cli.detection.costs.latency import detector_latencies_ms, median_ms
from opanas_cli.detection.costs.profiling import detector_cost
from opanas_cli.detection.costs.widths import with_baseline
from opanas_cli.formats.files import resolve_genotype

Row = dict[str, Any]

ROOT = Path(__file__).parents[1]
ACTIVITIES = {"cpu": [ProfilerActivity.CPU], "cuda": [ProfilerActivity.CPU, ProfilerActivity.CUDA]}
TOP = 8
"""Kernels, and operations of the host, that the profile names."""


@dataclass(frozen=True)
class Sizes:
    """Those of the paper; `image` is (width, height), `frame` is (height, width)."""

    config: str = "coco"
    folder_config: str = "custom"
    num_nodes: int = 5
    image: tuple[int, int] = (800, 500)
    frame: tuple[int, int] = (800, 1280)
    batch: int = 16
    images: int = 32
    candidates: int = 50
    repeats: int = 3
    genotypes: int = 20
    side: int = 8192
    tests: str = "tests"


TINY = Sizes("shapes", "shapes", 1, (64, 64), (64, 64), 2, 2, 2, 1, 3, 64, "tests/necks/test_deformable.py")


@dataclass(frozen=True)
class Run:
    """What is measured, on what, and where the results go."""

    sizes: Sizes
    device: torch.device
    results: Path


def roofline(run: Run, precision: str) -> list[Row]:
    """A product of square matrices, and a copy of one, of which each byte is read and written."""
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    one, other = (torch.randn(run.sizes.side, run.sizes.side, device=run.device, dtype=dtype) for _ in range(2))
    taken = median_ms({"product": lambda: one @ other, "copy": lambda: other.copy_(one)}, run.device)
    tflops, rate = 2 * run.sizes.side**3 / taken["product"] / 1e9, 2 * one.nbytes / taken["copy"] / 1e6
    return [{"case": "product and copy", "tflops": tflops, "gb_per_second": rate, "flop_per_byte": 1e3 * tflops / rate}]


def tests(run: Run, _: str) -> list[Row]:
    """The outcomes of the tests that need a GPU, so far as they ran; the log is beside the results."""
    log = run.results / "tests.log"
    command = [sys.executable, "-m", "pytest", run.sizes.tests, "-m", "gpu", "-v", "-p", "no:cacheprovider"]
    with log.open("w") as file:
        # In a session of its own, which ends with all that the tests have started.
        process = subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            code = process.wait()
            error = "" if code in (0, 1) else f"exit code {code}, see {log.name}"
        except BaseException as stopped:
            os.killpg(process.pid, signal.SIGKILL)
            if not isinstance(stopped, OutOfTimeError):
                raise
            error = "out of time"
    outcomes = re.findall(r"^(\S+::.*?) (PASSED|FAILED|ERROR|SKIPPED)\b", log.read_text(), re.MULTILINE)
    counts = Counter(outcome for _, outcome in outcomes)
    names = {"passed": "PASSED", "failed": "FAILED", "errors": "ERROR", "skipped": "SKIPPED"}
    broken = [name for name, outcome in outcomes if outcome in ("FAILED", "ERROR")]
    row = {"case": "pytest -m gpu", **{name: counts[outcome] for name, outcome in names.items()}, "broken": broken}
    return [{**row, "error": error} if error else row]


def steps(run: Run, precision: str) -> list[Row]:
    """A super-net step in each way."""

    def measured(batch: int) -> list[Row]:
        found = step.measure(step_setting(run, batch, precision), run.sizes.repeats)
        return ways(found, {name: found[name] for name in ("sub_nets", "multiply_adds")})

    return at_the_batch_that_fits(run, measured)


def step_setting(run: Run, batch: int, precision: str) -> step.Setting:
    """What step.py measures."""
    sizes = run.sizes
    return step.Setting(sizes.config, sizes.num_nodes, batch, sizes.image, str(run.device), precision)


def evaluation(run: Run, precision: str) -> list[Row]:
    """The evaluation of a random population in each way."""

    def measured(batch: int) -> list[Row]:
        with tempfile.TemporaryDirectory() as folder:
            document = evaluate.run(
                evaluation_options(run, batch, precision, run.sizes.images), Path(folder), run.device
            )
        found = document["populations"]["random"]
        names = ("candidates", "images", "multiply_adds", "largest_ap_difference", "path_calls_saved")
        parts = {f"{part}_seconds": seconds for part, seconds in found["parts_seconds"].items() if part != "total"}
        return ways(found, {**{name: found[name] for name in names}, **parts})

    return at_the_batch_that_fits(run, measured)


def evaluation_options(run: Run, batch: int, precision: str, images: int) -> argparse.Namespace:
    """What evaluate.py measures: candidates with weights as they are drawn."""
    sizes = run.sizes
    named = {"config": sizes.folder_config, "num-nodes": sizes.num_nodes, "candidates": sizes.candidates}
    named |= {"images": images, "batch-size": batch, "repeats": sizes.repeats, "precision": precision, "generation": 0}
    given = [f"--{name}={value}" for name, value in named.items()]
    return evaluate.parsed([*given, "--untrained", "--no-peer", "--image-size", *map(str, sizes.image)])


def frames(run: Run, _: str) -> list[Row]:
    """Whole detectors, from one normalised image to its boxes."""
    config = load_config(run.sizes.config, (f"cost_input={run.sizes.frame}",))
    found = with_sub_net(config, resolve_genotype("opa-fpn"))
    configs = {f"OPA-FPN@{found.model.neck.out_channels}": found, "FPN@256": with_baseline(config, "fpn", 256)}
    detectors = [latency.super_net_detector(each, None, run.device) for each in configs.values()]
    taken = detector_latencies_ms(detectors, config, run.device)
    return [
        {"case": name, "frames_per_second": 1000 / ms, "seconds": ms / 1000, "multiply_adds": detector_cost(each).macs}
        for (name, each), ms in zip(configs.items(), taken, strict=True)
    ]


def latency_error(run: Run, _: str) -> list[Row]:
    """What the latency table predicts, against what is measured."""
    overrides = (f"cost_input={run.sizes.frame}", f"model.neck.num_nodes={run.sizes.num_nodes}")
    found = latency.measure(load_config(run.sizes.config, overrides), None, run.device, run.sizes.genotypes, seed=0)
    return [{"case": "table", **{name: value for name, value in found.items() if isinstance(value, float)}}]


def profile(run: Run, precision: str) -> list[Row]:
    """One shared step, and a pass of a tenth of a population over a batch, heads in the thread that the profiler sees.

    The profiler takes minutes to add up the calls of a whole population.
    """
    one_step = partial(step.Step(step_setting(run, run.sizes.batch, precision)).take, "shared")
    rows = profiled("step", one_step, run.device)
    del one_step
    free(run.device)
    with tempfile.TemporaryDirectory() as folder, evaluate.without_head_threads():
        few = replace(run, sizes=replace(run.sizes, candidates=max(2, run.sizes.candidates // 10)))
        options = evaluation_options(few, run.sizes.batch, precision, images=run.sizes.batch)
        evaluator, _, populations = evaluate.prepare(options, Path(folder), run.device)
        return rows + profiled("evaluation", lambda: evaluator.evaluate(populations["random"]), run.device)


def profiled(name: str, call: Callable[[], Any], device: torch.device) -> list[Row]:
    """The seconds of a call, and those of its kernels and of the host's operations: all, and each that takes most.

    Shares of kernels are of the time without the profiler, which slows the host alone; those of the host are of the
    time with it.
    """
    seconds = median([seconds_of(call, device)[0] for _ in range(4)][1:])
    with torch.profiler.profile(activities=ACTIVITIES[device.type]) as profiler:
        slowed, _ = seconds_of(call, device)
    events = [event for event in profiler.key_averages() if not getattr(event, "is_user_annotation", False)]
    rows = [{"case": name, "seconds": seconds, "profiled_seconds": slowed}]
    for kind, place, attribute, whole in (
        ("kernels", DeviceType.CUDA, "self_device_time_total", seconds),
        ("host", DeviceType.CPU, "self_cpu_time_total", slowed),
    ):
        here = [event for event in events if event.device_type == place]
        spent = sorted(((getattr(event, attribute) / 1e6, event.count, event.key) for event in here), reverse=True)
        if not spent:
            continue
        everything = (sum(one[0] for one in spent), sum(one[1] for one in spent), "all")
        rows += [
            {"case": f"{name}: {kind}", "what": key[:60], "seconds": taken, "calls": calls, "share": taken / whole}
            for taken, calls, key in [everything, *spent[:TOP]]
        ]
    return rows


PARTS: dict[str, tuple[Callable[[Run, str], list[Row]], tuple[str, ...]]] = {
    "roofline": (roofline, PRECISIONS),
    "tests": (tests, ("",)),
    "step": (steps, PRECISIONS),
    "evaluation": (evaluation, PRECISIONS[:2]),
    "frames": (frames, PRECISIONS[:2]),
    "latency": (latency_error, PRECISIONS[:2]),
    "profile": (profile, ("tf32",)),
}
"""Of each part: what measures it, and in which precisions. Mixed precision is for training only."""


def ways(found: Mapping[str, Any], ours: Row) -> list[Row]:
    """A row for each way of doing the same, of which the last is ours."""
    seconds = found["median_seconds"]
    memory = found["peak_memory_mb"]
    rows = [{"case": name, "seconds": seconds[name], "peak_memory_mb": memory[name]} for name in seconds]
    faster = {f"speedup_vs_{row['case']}": row["seconds"] / rows[-1]["seconds"] for row in rows[:-1]}
    return [*rows[:-1], {**rows[-1], **faster, **ours}]


def at_the_batch_that_fits(run: Run, measured: Callable[[int], list[Row]]) -> list[Row]:
    """The rows at the largest batch that fits, halved until it does, and an error for each that does not."""
    failed: list[Row] = []
    for batch in (run.sizes.batch >> halvings for halvings in range(run.sizes.batch.bit_length())):
        free(run.device)
        try:
            return [*failed, *({**row, "batch_size": batch} for row in measured(batch))]
        except torch.cuda.OutOfMemoryError:
            failed.append({"case": "", "batch_size": batch, "error": "out of memory"})
    return failed
