"""Times a super-net step and an evaluation with one process and with several, and models larger machines.

Weak scaling: each process has the same batch size and the same number of images, whatever their number, and the same
number of threads, so that one process leaves the other cores idle. The efficiency is the time that one process takes
alone, divided by the time that each of the several takes: 1 where they do not hinder each other. It is split in two:
the processes also run side by side without talking to each other, which shows what sharing the machine costs, and the
rest is what waiting and talking cost. A step is the whole update, without reading the images; an evaluation is a pass
of a population, by the detector of the config with random weights and three classes, over generated images of the
size of the step's. The three ways take turns and the fastest round of each counts.

What bounds more processes is modelled from what one measures: see scaling_model.py.

    python benchmarks/scale.py --config shapes --ranks 2
    python benchmarks/scale.py --config coco --device cuda --ranks 1 --population 50 --images 32
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import socket
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from queue import Empty
from statistics import mean, stdev
from typing import Any
from unittest import mock

import numpy as np
import torch
from generated_images import drawn_weights, stretch
from mmengine.config import Config
from scaling_model import BATCH, PER_MACHINE, Links, Measured, modelled
from step import DEFAULTS, Setting, Step, generated_batch

from opanas_cli.detection.configs.files import load_config
from opanas_cli.detection.configs.necks import search_space
from opanas_cli.detection.data.shapes import CLASSES, generate_shapes
from opanas_cli.detection.evaluating import evaluator as evaluation
from opanas_cli.detection.evaluating.evaluator import SuperNetEvaluator
from opanas_cli.detection.processes.devices import select_device
from opanas_cli.detection.processes.group import joined
from opanas_cli.detection.processes.replicas import average_gradients
from opanas_cli.search.strategies.operators import sample
from opanas_cli.stage_settings import SearchSection

ALONE, SIDE_BY_SIDE, TOGETHER = "alone", "side by side", "together"
PASSES = 2
SECONDS_TO_TELL = 2.0
"""How long the others of a process that failed may tell why."""


@dataclass(frozen=True)
class Work:
    """What each process does."""

    setting: Setting
    repeats: int
    threads: int
    population: int
    images: int
    data: str


def time_step(work: Work, rank: int, wait: Callable[[], Any]) -> dict[str, Any]:
    """Seconds of each step of this process, on a batch of its own."""
    step = Step(work.setting)
    count = work.setting.batch_size
    own = generated_batch(count * (rank + 1), work.setting.image_size)
    batch = {name: values[-count:] for name, values in own.items()}
    step.model.train_step(batch, step.optimizer)
    wait()
    seconds = [_timed(lambda: step.model.train_step(batch, step.optimizer), step.device) for _ in range(work.repeats)]
    trained = [parameter for parameter in step.model.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.grad = torch.zeros_like(parameter)
    wait()
    averaging = [_timed(lambda: average_gradients(trained), step.device) for _ in range(work.repeats)]
    size = sum(parameter.numel() * parameter.element_size() for parameter in trained)
    return {"step": seconds, "averaging": min(averaging), "gradient_bytes": size}


def time_evaluation(work: Work, ranks: int, wait: Callable[[], Any]) -> dict[str, float]:
    """Seconds of a pass over `work.images` images for each of `ranks` processes, and of the scoring in it."""
    device = select_device(work.setting.device)
    config = evaluated_config(work)
    rng = np.random.default_rng(0)
    population = [sample(search_space(config), rng) for _ in range(work.population)]
    section = SearchSection(max_images=work.images * ranks, batch_size=BATCH)
    evaluator = SuperNetEvaluator(config, drawn_weights(config), "drawn", 0.0, device, section)
    evaluator.num_workers = 0
    evaluator.evaluate(population[:2])
    passes = []
    for _ in range(PASSES):
        truth, score = Stopwatch(evaluation.GroundTruth), Stopwatch(evaluation.score_population)
        with mock.patch.multiple(evaluation, GroundTruth=truth, score_population=score):
            wait()
            seconds = _timed(lambda: evaluator.evaluate(population), device)
        passes.append({"evaluation": seconds, "truth": truth.seconds, "scoring": score.seconds})
    return min(passes, key=lambda one: one["evaluation"])


def evaluated_config(work: Work) -> Config:
    """The config with the detector of the step, on the generated images and their three classes."""
    overrides = (
        f"data_root={work.data}",
        f"model.neck.num_nodes={work.setting.num_nodes}",
        "model.backbone.init_cfg=None",
        f"model.roi_head.bbox_head.num_classes={len(CLASSES)}",
        f"supernet.image_scale=({work.setting.image_size[0]},{work.setting.image_size[1]})",
    )
    config = load_config(work.setting.config, overrides)
    config.val_dataloader.dataset.update(
        data_root=work.data,
        metainfo=dict(classes=CLASSES),
        ann_file="annotations/val.json",
        data_prefix=dict(img="val/"),
    )
    return config


class Stopwatch:
    """A function that adds up how long it takes."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.seconds = 0.0

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        start = time.perf_counter()
        result = self.function(*arguments, **options)
        self.seconds += time.perf_counter() - start
        return result


def _timed(call: Callable[[], Any], device: torch.device) -> float:
    _finish(device)
    start = time.perf_counter()
    call()
    _finish(device)
    return time.perf_counter() - start


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def one_process(work: Work, way: str, rank: int, ranks: int, port: int, barrier: Any, results: Any) -> None:
    """The work of one process, its measurements put into `results`."""
    torch.set_num_threads(work.threads)
    together = way == TOGETHER and ranks > 1
    if together:
        torchrun = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": ranks, "LOCAL_WORLD_SIZE": ranks}
        os.environ.update({name: str(value) for name, value in torchrun.items()})
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    elif work.setting.device == "cuda":
        work = Work(**{**vars(work), "setting": Setting(**{**vars(work.setting), "device": f"cuda:{rank}"})})
    try:
        with joined(work.setting.device) if together else contextlib.nullcontext():
            measured = time_step(work, rank, barrier.wait)
            # Each process of its own has the images of one.
            measured.update(time_evaluation(work, ranks if together else 1, barrier.wait))
        results.put(measured)
    except Exception as error:
        results.put({"error": f"{type(error).__name__}: {error}"})
        barrier.abort()
        raise SystemExit(1) from error


def run(work: Work, way: str, ranks: int) -> list[dict[str, Any]]:
    """What each of the processes measured."""
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(ranks), context.Queue()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    processes = [
        context.Process(target=one_process, args=(work, way, rank, ranks, port, barrier, results))
        for rank in range(ranks)
    ]
    for process in processes:
        process.start()
    measured = told_by(processes, results)
    for process in processes:
        if len(measured) < ranks:
            process.kill()
        process.join()
    if failure := failure_of(measured, [process.exitcode for process in processes]):
        raise SystemExit(f"{way}: {failure}")
    return measured


def told_by(processes: Sequence[BaseProcess], results: Any) -> list[dict[str, Any]]:
    """What the processes put into `results`: all of them, or fewer once one has failed or was killed."""
    measured: list[dict[str, Any]] = []
    while len(measured) < len(processes):
        try:
            measured.append(results.get(timeout=SECONDS_TO_TELL))
        except Empty:
            failed = any("error" in one for one in measured) or any(process.exitcode for process in processes)
            if failed or not any(process.is_alive() for process in processes):
                break
    return measured


def failure_of(measured: Sequence[dict[str, Any]], exit_codes: Sequence[int | None]) -> str | None:
    """Why processes failed, if they did: the others only tell that they waited in vain."""
    errors = [one["error"] for one in measured if "error" in one]
    told = [error for error in errors if not error.startswith("BrokenBarrierError")]
    if told:
        return told[0]
    killed = [(rank, -code) for rank, code in enumerate(exit_codes) if code and code < 0]
    if errors or len(measured) < len(exit_codes):
        signals = ", ".join(f"process {rank} by signal {number}" for rank, number in killed) or "one of them"
        return f"processes were ended from outside, perhaps for want of memory ({signals}); try fewer --ranks"
    return None


def measure(work: Work, ranks: int, rounds: int) -> dict[str, Any]:
    """Seconds of a step and of an evaluation in each way, the fastest round of each, and what follows from them."""
    ways = {ALONE: 1, **({SIDE_BY_SIDE: ranks, TOGETHER: ranks} if ranks > 1 else {})}
    taken: dict[str, list[list[dict[str, Any]]]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, processes in ways.items():
            taken[way].append(run(work, way, processes))
    steps = {way: min(mean(mean(one["step"]) for one in each) for each in taken[way]) for way in ways}
    passes = {way: min(max(one["evaluation"] for one in each) for each in taken[way]) for way in ways}
    last = taken[ALONE][-1][0]
    seconds = [second for each in taken[ALONE] for second in each[0]["step"]]
    result: dict[str, Any] = {
        "gradient_mb": last["gradient_bytes"] / 1e6,
        "step_seconds": steps,
        "step_spread": stdev(seconds) / mean(seconds) if len(seconds) > 1 else 0.0,
        "evaluation_seconds": passes,
        "truth_seconds": min(each[0]["truth"] for each in taken[ALONE]),
        "scoring_seconds": min(each[0]["scoring"] for each in taken[ALONE]),
        "efficiency": None,
        "evaluation_efficiency": None,
    }
    if ranks > 1:
        result |= {
            "averaging_seconds": min(max(one["averaging"] for one in each) for each in taken[TOGETHER]),
            "efficiency": steps[ALONE] / steps[TOGETHER],
            "efficiency_of_sharing_the_machine": steps[ALONE] / steps[SIDE_BY_SIDE],
            "efficiency_of_talking": steps[SIDE_BY_SIDE] / steps[TOGETHER],
            "evaluation_efficiency": passes[ALONE] / passes[TOGETHER],
            "evaluation_efficiency_of_sharing_the_machine": passes[ALONE] / passes[SIDE_BY_SIDE],
            "evaluation_efficiency_of_talking": passes[SIDE_BY_SIDE] / passes[TOGETHER],
        }
    return result


def measured_by(row: dict[str, Any], work: Work) -> Measured:
    """What the model needs of what one process measured."""
    return Measured(
        row["gradient_mb"],
        row["step_seconds"][ALONE],
        row["step_spread"],
        row["evaluation_seconds"][ALONE],
        row["truth_seconds"],
        row["scoring_seconds"],
        work.population,
        work.images,
    )


def main() -> None:
    """Measure and model, and print two tables or a JSON document."""
    options = _options()
    num_nodes, batch_size, image_size = DEFAULTS[options.config]
    setting = Setting(options.config, num_nodes, options.batch_size or batch_size, image_size, options.device)
    links = Links(options.device_gb, options.network_gb, options.latency_us)
    with tempfile.TemporaryDirectory() as folder:
        generate_shapes(Path(folder), num_train=1, num_val=options.images * options.ranks)
        stretch(Path(folder), image_size)
        work = Work(setting, options.repeats, options.threads, options.population, options.images, folder)
        row = measure(work, options.ranks, options.rounds)
    table = modelled(measured_by(row, work), links, options.model_images, options.detections)
    facts = {"ranks": options.ranks, "threads": options.threads, **asdict(setting), "torch": torch.__version__}
    facts |= {"evaluated": f"the detector of {options.config}, random weights, {len(CLASSES)} classes"}
    if options.json:
        print(json.dumps({"version": 1, **facts, **row, "links": asdict(links), "model": table}, indent=2))
        return
    _show(facts, row, table, options)


def _show(facts: dict[str, Any], row: dict[str, Any], table: list[dict[str, Any]], options: Any) -> None:
    print(", ".join(f"{name} {value}" for name, value in facts.items()))
    print(f"{row['gradient_mb']:.1f} MB of gradients; steps spread by {row['step_spread']:.1%}")
    for title, key, prefix in (("step", "step_seconds", ""), ("evaluation", "evaluation_seconds", "evaluation_")):
        times = ", ".join(f"{way} {seconds:.3f} s" for way, seconds in row[key].items())
        print(f"{title}: {times}")
        if options.ranks > 1:
            sharing, talking = (row[f"{prefix}efficiency_of_{what}"] for what in ("sharing_the_machine", "talking"))
            whole = row[f"{prefix}efficiency"]
            print(f"  efficiency {whole:.1%} = {sharing:.1%} of sharing the machine · {talking:.1%} of talking")
    print(
        f"model: {options.device_gb:g} GB/s within {PER_MACHINE} devices, {options.network_gb:g} GB/s of network for "
        f"each {PER_MACHINE}, {options.latency_us:g} µs a message; {options.model_images} images, "
        f"{options.population} candidates"
    )
    print("  processes  all-reduce   waiting  efficiency of a step")
    for line in table:
        parts = " ".join(f"{1e3 * line[f'{part}_seconds']:8.1f} ms" for part in ("all_reduce", "waiting"))
        print(f"  {line['processes']:9d} {parts} {line['step_efficiency']:12.1%}")
    print("  processes       pass     gather      truth    scoring  efficiency of an evaluation")
    for line in table:
        parts = " ".join(f"{line[f'{part}_seconds']:8.2f} s" for part in ("pass", "gather", "truth", "scoring"))
        print(f"  {line['processes']:9d} {parts} {line['evaluation_efficiency']:12.1%}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", choices=DEFAULTS, default="shapes", help="whose super-net (default: shapes)")
    parser.add_argument("--device", default="cpu", help="cpu, or cuda with a device for each rank (default: cpu)")
    parser.add_argument("--ranks", type=int, default=2, help="processes; 1 measures for the model only (default: 2)")
    parser.add_argument("--threads", type=int, default=1, help="of each process (default: 1)")
    parser.add_argument("--batch-size", type=int, help="images of a process in a step (default: the config's)")
    parser.add_argument("--repeats", type=int, default=5, help="timed steps of a round (default: 5)")
    parser.add_argument("--rounds", type=int, default=3, help="(default: 3)")
    parser.add_argument("--population", type=int, default=50, help="candidates of an evaluation (default: 50)")
    parser.add_argument("--images", type=int, default=16, help="of a process in an evaluation (default: 16)")
    parser.add_argument("--device-gb", type=float, default=200.0, help="GB/s by NVLink in a ring (default: 200)")
    parser.add_argument("--network-gb", type=float, default=12.5, help="GB/s of a machine (default: 12.5, 100 Gbit/s)")
    parser.add_argument("--latency-us", type=float, default=20.0, help="µs of a message (default: 20)")
    parser.add_argument("--model-images", type=int, default=5000, help="of the modelled evaluation (default: 5000)")
    parser.add_argument("--detections", type=int, default=100, help="in an image, for the model (default: 100)")
    parser.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
    options = parser.parse_args()
    counts = ("ranks", "threads", "repeats", "rounds", "population", "images", "model_images", "detections")
    if min(getattr(options, name) for name in counts) < 1:
        parser.error("numbers of things must be at least 1")
    if options.images % BATCH:
        parser.error(f"--images must be a multiple of {BATCH}: processes share out whole batches")
    if options.device not in ("cpu", "cuda"):
        parser.error("--device must be cpu or cuda: each rank takes the device of its number")
    if options.device == "cuda" and torch.cuda.device_count() < options.ranks:
        parser.error(f"--ranks {options.ranks} need as many devices, and {torch.cuda.device_count()} are here")
    return options


if __name__ == "__main__":
    main()
