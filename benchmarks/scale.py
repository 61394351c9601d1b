"""Times a super-net step and an evaluation with one process and with several, and models larger machines.

Weak scaling: each process has the same batch size and the same number of images, whatever their number, and the same
number of threads, so that one process leaves the other cores idle. The efficiency is the time that one process takes
alone, divided by the time that each of the several takes: 1 where they do not hinder each other. It is split in two:
the processes also run side by side without talking to each other, which shows what sharing the machine costs, and the
rest is what waiting and talking cost. A step is the whole update, without reading the images; an evaluation is a pass
of a population over generated images. The three ways take turns and the fastest round of each counts.

The model puts the measured times in. A step on n processes takes

    step + 2 (n - 1) / n · bytes / bandwidth + 2 (n - 1) · latency + spread · √(2 ln n) · step

where bytes are those of the gradients, sent around a ring once the backward pass is over; of several machines, within
each first, and then each machine's share across the network. The last term is the wait for the slowest of n processes
whose steps differ by a relative standard deviation `spread`, measured. An evaluation on n processes takes

    images / n · (pass per image) + (bytes of the detections) / bandwidth + (indexing the truth) + scoring / n

because each process brings together and scores its share of the candidates, and all index the truth. What remains to
be lost beside the terms is the sharing of a machine: memory, caches, power and, on a CPU, cores that are half of one.

    python benchmarks/scale.py --config shapes --ranks 2
    python benchmarks/scale.py --config coco --device cuda --ranks 1
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import multiprocessing
import os
import socket
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any
from unittest import mock

import numpy as np
import torch
from step import DEFAULTS, Setting, Step, generated_batch

from opanas_cli.detection import evaluation
from opanas_cli.detection.config_files import load_config
from opanas_cli.detection.config_stages import search_space
from opanas_cli.detection.evaluation import SuperNetEvaluator
from opanas_cli.detection.processes import joined
from opanas_cli.detection.replicas import average_gradients
from opanas_cli.detection.shapes import generate_shapes
from opanas_cli.search.operators import sample

ALONE, SIDE_BY_SIDE, TOGETHER = "alone", "side by side", "together"
MODELLED = (1, 2, 8, 64)
PER_MACHINE = 8
BYTES_PER_DETECTION = 4 * (4 + 1) + 8
"""A box and a score in float32, and a label."""


@dataclass(frozen=True)
class Work:
    """What each process does."""

    setting: Setting
    repeats: int
    threads: int
    population: int
    images: int
    data: str


@dataclass(frozen=True)
class Links:
    """What joins the processes: GB/s that a device sends to its neighbour within a machine, GB/s of a machine's
    connection to the network, and microseconds of a message."""

    device_gb: float
    network_gb: float
    latency_us: float

    def all_reduce_seconds(self, size: float, processes: int) -> float:
        """The time to sum `size` bytes over all processes."""
        within, machines = min(processes, PER_MACHINE), math.ceil(processes / PER_MACHINE)
        return self._ring(size, within, self.device_gb) + self._ring(size, machines, self.network_gb)

    def _ring(self, size: float, members: int, gigabytes: float) -> float:
        return 2 * (members - 1) / members * size / (gigabytes * 1e9) + 2 * (members - 1) * self.latency_us * 1e-6

    def gather_seconds(self, size: float, processes: int) -> float:
        """The time to bring `size` bytes, spread over all processes, to those that score them."""
        if processes == 1:
            return 0.0
        machines = math.ceil(processes / PER_MACHINE)
        slowest = self.device_gb * processes if machines == 1 else self.network_gb * machines
        return size / (slowest * 1e9) + processes * self.latency_us * 1e-6


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


def time_evaluation(work: Work, ranks: int, wait: Callable[[], Any]) -> dict[str, Any]:
    """Seconds of a pass over `work.images` images for each of `ranks` processes, and of the scoring in it."""
    overrides = (f"data_root={work.data}", f"model.neck.num_nodes={work.setting.num_nodes}")
    config = load_config("shapes", overrides)
    rng = np.random.default_rng(0)
    population = [sample(search_space(config), rng) for _ in range(work.population)]
    step = Step(Setting("shapes", work.setting.num_nodes, 1, (128, 128), work.setting.device))
    state = step.model.detector.state_dict()
    evaluator = SuperNetEvaluator(config, state, "scale.py", 0.0, work.images * ranks, step.device)
    truth, score = Stopwatch(evaluation.GroundTruth), Stopwatch(evaluation.score_population)
    with mock.patch.multiple(evaluation, GroundTruth=truth, score_population=score):
        wait()
        seconds = _timed(lambda: evaluator.evaluate(population), step.device)
    return {"evaluation": seconds, "truth": truth.seconds, "scoring": score.seconds}


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
    except BaseException as error:
        barrier.abort()
        results.put({"error": f"{type(error).__name__}: {error}"})
        raise


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
    measured = [results.get() for _ in processes]
    for process in processes:
        process.join()
    failed = [one["error"] for one in measured if "error" in one and "BrokenBarrier" not in one["error"]]
    if failed:
        raise SystemExit(f"{way}: {failed[0]}")
    return measured


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


def modelled(row: dict[str, Any], work: Work, links: Links, images: int, detections: int) -> list[dict[str, Any]]:
    """The parts of a step and of an evaluation on more processes, in seconds, and their efficiency."""
    step = row["step_seconds"][ALONE]
    more = images / work.images
    truth, scoring = more * row["truth_seconds"], more * row["scoring_seconds"]
    passing = more * row["evaluation_seconds"][ALONE] - truth - scoring
    found = work.population * images * detections * BYTES_PER_DETECTION
    table = []
    for processes in MODELLED:
        reducing = links.all_reduce_seconds(1e6 * row["gradient_mb"], processes)
        waiting = step * row["step_spread"] * math.sqrt(2 * math.log(processes))
        gathering = links.gather_seconds(found, processes)
        most_candidates = math.ceil(work.population / processes) / work.population
        evaluating = passing / processes + gathering + truth + scoring * most_candidates
        table.append(
            {
                "processes": processes,
                "all_reduce_seconds": reducing,
                "waiting_seconds": waiting,
                "step_efficiency": step / (step + reducing + waiting),
                "pass_seconds": passing / processes,
                "gather_seconds": gathering,
                "truth_seconds": truth,
                "scoring_seconds": scoring * most_candidates,
                "evaluation_efficiency": (passing + truth + scoring) / processes / evaluating,
            }
        )
    return table


def main() -> None:
    """Measure and model, and print two tables or a JSON document."""
    options = _options()
    num_nodes, batch_size, image_size = DEFAULTS[options.config]
    setting = Setting(options.config, num_nodes, options.batch_size or batch_size, image_size, options.device)
    links = Links(options.device_gb, options.network_gb, options.latency_us)
    with tempfile.TemporaryDirectory() as folder:
        generate_shapes(Path(folder), num_train=1, num_val=options.images * options.ranks)
        work = Work(setting, options.repeats, options.threads, options.population, options.images, folder)
        row = measure(work, options.ranks, options.rounds)
    table = modelled(row, work, links, options.model_images, options.detections)
    facts = {"ranks": options.ranks, "threads": options.threads, **asdict(setting), "torch": torch.__version__}
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
    if options.device not in ("cpu", "cuda"):
        parser.error("--device must be cpu or cuda: each rank takes the device of its number")
    if options.device == "cuda" and torch.cuda.device_count() < options.ranks:
        parser.error(f"--ranks {options.ranks} need as many devices, and {torch.cuda.device_count()} are here")
    return options


if __name__ == "__main__":
    main()
