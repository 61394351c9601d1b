"""How long a detector takes for one image, measured on the device that it will run on."""

from __future__ import annotations

import copy
import hashlib
import json
import math
import platform
import re
import time
import warnings
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.logging import MMLogger
from torch import Tensor, nn

from opanas_cli.atomic import write_atomically
from opanas_cli.detection.configs.building import build_detector, building
from opanas_cli.detection.configs.necks import search_space
from opanas_cli.detection.costs.profiling import input_size
from opanas_cli.detection.evaluating.population_pass import heads_on
from opanas_cli.detection.quiet import silenced
from opanas_cli.errors import InvalidInputError
from opanas_cli.genotype import Edge, PathType
from opanas_cli.regular_files import read_regular
from opanas_cli.search.latency_table import LatencyTable, parse_latency_table
from opanas_cli.search.settings import differences

Run = Callable[[], Any]
Name = TypeVar("Name", bound=Hashable)

WARM_UP_RUNS = 3
BLOCK_SECONDS = 0.005
"""Runs are timed in blocks of at least about this length, so that starting and stopping the clock weighs little."""
FEWEST_ROUNDS = 5
MOST_ROUNDS = 50
ENOUGH_SECONDS = 30.0
"""After so long no further round begins, if there were the fewest."""

MEASURED_UNDER = ("device", "image_size", "detector")
"""The conditions under which a table is used again. A resumed search may have other threads, or a newer torch."""


def latency_table(path: Path, detector: nn.Module, config: Config, device: torch.device) -> LatencyTable:
    """The latency table of a config's super-net on a device: read from a file, or measured and written there.

    `detector` is the config's with the super-net, its weights loaded, on the device. Raises InvalidInputError if the
    file is not a table, or was measured under other conditions.
    """
    conditions = measuring_conditions(config, device)
    if not path.exists():
        table = measure_latencies(detector, config, device)
        write_atomically(path, json.dumps(table.document(), indent=2) + "\n")
        return table
    try:
        table = parse_latency_table(read_regular(path).decode(), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{path}: cannot be read ({error})") from error
    _check_conditions(path, dict(table.conditions), conditions)
    if missing := [part for part in _parts(config) if part not in table.paths_ms]:
        edge, name = missing[0]
        raise InvalidInputError(f"{path}: has no latency of {name} on {edge}; delete it to measure again")
    return table


def _check_conditions(path: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    decisive = [{key: value for key, value in facts.items() if key in MEASURED_UNDER} for facts in (old, new)]
    if changes := "; ".join(differences(*decisive)):
        raise InvalidInputError(
            f"{path}: was measured under other conditions: {changes}; delete it to measure again, or choose another "
            "--work-dir"
        )
    if changes := "; ".join(differences(old, new)):
        warnings.warn(f"{path}: is used although {changes}; delete it to measure again", stacklevel=2)


def measuring_conditions(config: Config, device: torch.device) -> dict[str, Any]:
    """What a latency depends on, as JSON-able values: device, threads, version of torch, image size, detector."""
    model = json.dumps(config.model.to_dict(), sort_keys=True, default=str)
    return {
        **machine(device),
        "image_size": list(input_size(config)),
        "detector": hashlib.sha256(model.encode()).hexdigest(),
    }


def machine(device: torch.device) -> dict[str, Any]:
    """The device, the threads that compute if it is the CPU, and the version of torch."""
    threads = torch.get_num_threads() if device.type == "cpu" else None
    return {"device": _device_name(device), "threads": threads, "torch": torch.__version__}


def measure_latencies(detector: nn.Module, config: Config, device: torch.device) -> LatencyTable:
    """Measure all that a latency table holds, of the config's detector with the super-net, on the device.

    The fixed part is the whole detector with a neck that passes its input pyramid to its output; images are noise, so
    the time for selecting boxes is that for the boxes which the detector finds there. Not measured are the decoding and
    resizing of images, and edge importances, which detectors trained from scratch do not have.
    """
    detector.eval()
    neck = detector.neck
    image = _noise(input_size(config), device)

    def without_paths() -> tuple[Tensor, ...]:
        return tuple(neck.extra_outputs(neck.project(detector.backbone(image))))

    def whole() -> None:
        _detect(heads_on(detector, without_paths()), image)

    with torch.inference_mode():
        pyramid = neck.project(detector.backbone(image))
    runs: dict[Any, Run] = {"fixed": whole, "sum": lambda: [level + level for level in pyramid]}
    for edge, path in _parts(config):
        module = neck.paths[f"{edge.source}_{edge.target}"][path.value]
        runs[edge, path] = lambda module=module: module(pyramid)
    paths = median_ms(runs, device)
    fixed, one_sum = paths.pop("fixed"), paths.pop("sum")
    return LatencyTable(measuring_conditions(config, device), fixed, one_sum, paths)


def detector_latencies_ms(detectors: Sequence[nn.Module], config: Config, device: torch.device) -> list[float]:
    """How long whole detectors take from one normalised image, of the config's `cost_input` size, to its boxes."""
    timings = detector_timings_ms(detectors, [input_size(config)] * len(detectors), device)
    return [median(times) for times in timings]


def detector_timings_ms(
    detectors: Sequence[nn.Module], sizes: Sequence[tuple[int, int]], device: torch.device
) -> list[list[float]]:
    """Timings of whole detectors, each from one normalised image of its size, (height, width), to its boxes."""
    runs = {
        place: partial(_detect, detector.eval(), _noise(size, device))
        for place, (detector, size) in enumerate(zip(detectors, sizes, strict=True))
    }
    return list(timings_ms(runs, device).values())


def untrained_detector(config: Config, device: torch.device) -> nn.Module:
    """A config's detector on a device, its weights initialised by seed 0 and nothing pre-trained."""
    source = copy.deepcopy(config)
    source.model.backbone["init_cfg"] = None
    torch.manual_seed(0)
    with silenced(), building(config):
        detector = build_detector(source)
        MMLogger.get_current_instance().setLevel("ERROR")  # mmengine tells of each weight that it initialises.
        detector.init_weights()
    return detector.to(device).eval()


def median_ms(runs: Mapping[Name, Run], device: torch.device) -> dict[Name, float]:
    """Milliseconds of each run, the median of `timings_ms`."""
    return {name: median(times) for name, times in timings_ms(runs, device).items()}


def timings_ms(runs: Mapping[Name, Run], device: torch.device) -> dict[Name, list[float]]:
    """Milliseconds of each run, many times, after a warm-up and without gradients.

    All take turns, round by round, so that other work on the machine slows them alike.
    """
    blocks: dict[Name, list[float]] = {name: [] for name in runs}
    with torch.inference_mode(), silenced():
        for run in runs.values():
            _block_ms(run, WARM_UP_RUNS, device)
        sizes = {name: math.ceil(BLOCK_SECONDS * 1000 / _block_ms(run, 1, device)) for name, run in runs.items()}
        started, rounds = time.perf_counter(), 0
        while rounds < FEWEST_ROUNDS or (rounds < MOST_ROUNDS and time.perf_counter() - started < ENOUGH_SECONDS):
            rounds += 1
            for name, run in runs.items():
                blocks[name].append(_block_ms(run, sizes[name], device))
    return blocks


def _block_ms(run: Run, count: int, device: torch.device) -> float:
    """The mean milliseconds of `count` runs in a row."""
    _wait_for(device)
    started = time.perf_counter()
    for _ in range(count):
        run()
    _wait_for(device)
    return (time.perf_counter() - started) * 1000 / count


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _detect(detector: nn.Module, image: Tensor) -> None:
    size = tuple(image.shape[-2:])
    facts = dict(img_id=0, img_shape=size, ori_shape=size, pad_shape=size, batch_input_shape=size)
    detector.predict(image, [DetDataSample(metainfo=dict(facts, scale_factor=(1.0, 1.0)))], rescale=False)


def _parts(config: Config) -> list[tuple[Edge, PathType]]:
    space = search_space(config)
    return [(edge, path) for edge in space.edges for path in space.paths if path.builder]


def _noise(size: tuple[int, int], device: torch.device) -> Tensor:
    return torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0)).to(device)


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    facts = Path("/proc/cpuinfo")
    model = re.search(r"^model name\s*:\s*(.+)$", facts.read_text(), re.MULTILINE) if facts.exists() else None
    return model[1] if model else platform.processor() or platform.machine()
