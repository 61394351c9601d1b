"""Latencies measured with a clock that goes on only as the test says, and the file that keeps them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from tiny_config import tiny_config
from torch import nn

from opanas_cli.detection.configs.building import build_detector
from opanas_cli.detection.configs.necks import search_space
from opanas_cli.detection.costs import latency
from opanas_cli.detection.costs.latency import detector_latencies_ms, latency_table, measure_latencies, median_ms
from opanas_cli.errors import InvalidInputError
from opanas_cli.genotype import Edge, PathType
from opanas_cli.genotype.liveness import output_nodes

CPU = torch.device("cpu")
DETECTORS = ("faster-rcnn", "retinanet")


class Clock:
    """Stands in for the module `time`. Looking at it takes a hundredth of a millisecond."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def perf_counter(self) -> float:
        self.seconds += 1e-5
        return self.seconds

    def takes(self, milliseconds: float) -> Callable[..., None]:
        """A forward hook of something that takes so long."""

        def hook(*_: Any) -> None:
            self.seconds += milliseconds / 1000

        return hook


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(latency, "time", made)
    monkeypatch.setattr(latency, "MOST_ROUNDS", latency.FEWEST_ROUNDS)
    return made


def super_net(config: Config) -> nn.Module:
    torch.manual_seed(0)
    detector = build_detector(config)
    detector.init_weights()
    return detector


def slowed(detector: nn.Module, clock: Clock) -> dict[tuple[int, int, str], float]:
    """Have the backbone take 100 ms, and each path on each edge a time of its own; returns these."""
    detector.backbone.register_forward_hook(clock.takes(100.0))
    times: dict[tuple[int, int, str], float] = {}
    for edge, paths in detector.neck.paths.items():
        source, target = map(int, edge.split("_"))
        for name, module in paths.items():
            if name != "skip_connect":
                times[source, target, name] = 5.0 + len(times)
                module.register_forward_hook(clock.takes(times[source, target, name]))
    return times


@pytest.mark.parametrize("kind", DETECTORS)
def test_each_path_of_each_edge_is_measured_and_predictions_are_what_the_whole_takes(
    shapes_root: Path, clock: Clock, kind: str
) -> None:
    config = tiny_config(shapes_root, kind)
    detector = super_net(config)
    times = slowed(detector, clock)

    table = measure_latencies(detector, config, CPU)

    assert table.fixed_ms == pytest.approx(100.0, abs=0.02)
    assert table.sum_ms == pytest.approx(0.0, abs=0.02)
    measured = {(edge.source, edge.target, path.value): ms for (edge, path), ms in table.paths_ms.items()}
    assert measured == pytest.approx(times, abs=0.02)
    for genotype in list(filter(output_nodes, search_space(config)))[::23]:
        with detector.neck.running(genotype):
            (whole,) = detector_latencies_ms([detector], config, CPU)
        assert table.predict(genotype) == pytest.approx(whole, abs=0.1)


def test_the_median_of_rounds_in_turn_forgets_a_disturbance(clock: Clock) -> None:
    calls: list[str] = []

    def work(name: str, milliseconds: float) -> Callable[[], None]:
        def run() -> None:
            calls.append(name)
            disturbance = 1000.0 if len(calls) % 13 == 0 else 0.0
            clock.seconds += (milliseconds + disturbance) / 1000

        return run

    measured = median_ms({"slow": work("slow", 40.0), "fast": work("fast", 7.0)}, CPU)

    assert measured == pytest.approx({"slow": 40.0, "fast": 7.0}, abs=0.02)
    assert calls[-6:] == ["slow", "fast"] * 3
    assert torch.is_grad_enabled()


def test_short_runs_are_timed_in_blocks(clock: Clock) -> None:
    calls = 0

    def run() -> None:
        nonlocal calls
        calls += 1
        clock.seconds += 0.0004

    assert median_ms({"short": run}, CPU) == pytest.approx({"short": 0.4}, abs=0.02)
    assert calls == latency.WARM_UP_RUNS + 1 + 13 * latency.FEWEST_ROUNDS


def test_a_table_is_measured_once_and_refused_under_other_conditions(
    shapes_root: Path, clock: Clock, tmp_path: Path
) -> None:
    config, path = tiny_config(shapes_root), tmp_path / "latency.json"
    detector = super_net(config)
    slowed(detector, clock)

    table = latency_table(path, detector, config, CPU)
    document = json.loads(path.read_text())
    ended = clock.seconds

    assert latency_table(path, detector, config, CPU) == table
    assert clock.seconds == ended
    assert document["conditions"]["image_size"] == [64, 64]
    assert document["conditions"]["threads"] == torch.get_num_threads()
    assert document["conditions"]["torch"] == torch.__version__
    assert document["conditions"]["device"]
    whole = path.read_bytes()
    with pytest.raises(InvalidInputError, match=r"under other conditions: image_size was .* delete it to measure"):
        latency_table(path, detector, tiny_config(shapes_root, "faster-rcnn", "cost_input=(64,96)"), CPU)
    with pytest.raises(InvalidInputError, match="under other conditions: detector was"):
        latency_table(path, detector, tiny_config(shapes_root, "faster-rcnn", "model.neck.deformable=False"), CPU)
    assert path.read_bytes() == whole
    document["conditions"]["threads"] += 3
    path.write_text(json.dumps(document))
    with pytest.warns(UserWarning, match=r"latency\.json: is used although threads was .*; delete it to measure again"):
        assert latency_table(path, detector, config, CPU).paths_ms == table.paths_ms
    document["conditions"]["threads"] -= 3
    del document["paths"][3]
    path.write_text(json.dumps(document))
    with pytest.raises(InvalidInputError, match=r"latency\.json: has no latency of fusing_splitting on 0->1; delete"):
        latency_table(path, detector, config, CPU)
    path.write_bytes(b"\xff")
    with pytest.raises(InvalidInputError, match="cannot be read"):
        latency_table(path, detector, config, CPU)


@pytest.mark.parametrize("kind", DETECTORS)
def test_a_real_clock_gives_real_times(shapes_root: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(latency, "MOST_ROUNDS", latency.FEWEST_ROUNDS)
    config = tiny_config(shapes_root, kind)

    detector = super_net(config)
    detector.neck.paths["0_2"]["bottom_up"].register_forward_hook(lambda *_: time.sleep(0.1))

    table = measure_latencies(detector, config, CPU)

    path_times = sorted(table.paths_ms.values())
    assert table.sum_ms < path_times[len(path_times) // 2] < table.fixed_ms
    assert path_times[-1] == table.paths_ms[Edge(0, 2), PathType.BOTTOM_UP] > 100.0 > path_times[0]
    assert {edge for edge, _ in table.paths_ms} == {Edge(0, 1), Edge(0, 2), Edge(1, 2)}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_is_waited_for(shapes_root: Path) -> None:
    device = torch.device("cuda", 0)
    large, small = (torch.rand(size, size, device=device) for size in (8192, 64))

    measured = median_ms({"large": lambda: large @ large, "small": lambda: small @ small}, device)

    # Starting a product takes some microseconds, whatever its size: only who waits sees more.
    assert measured["large"] > 1.0 > measured["small"]
