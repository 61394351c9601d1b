"""Each benchmark runs, tiny, and prints one JSON document with what it promises. None is timed."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from opanas_cli.errors import MissingDependencyError

Run = Callable[..., dict[str, Any]]


def test_evaluate(document: Run) -> None:
    sizes = ["--num-nodes", 2, "--images", 3, "--batch-size", 2, "--candidates", 2, "--image-size", 64, 64]
    printed = document("evaluate", "--untrained", "--repeats", 1, *sizes)
    for way in ("peer", "plain"):
        faster = [
            row["ours_candidates_per_second"] / row[f"{way}_candidates_per_second"]
            for row in printed["populations"].values()
        ]
        assert printed[f"speedup_vs_{way}"] == pytest.approx(min(faster))
    assert (printed["batch_size"], printed["num_workers"]) == (2, 0)
    for row in printed["populations"].values():
        # There is memory for everything here.
        assert row["path_calls_saved"] == pytest.approx(row["path_calls_equal"])
        assert row["largest_ap_difference"] <= 1e-6
        parts = row["parts_seconds"]
        assert sum(parts[name] for name in parts if name not in ("total", "heads_apart")) == pytest.approx(
            parts["total"]
        )


def test_path_calls_that_a_small_memory_costs_are_counted(program: Callable[[str], ModuleType]) -> None:
    import torch

    from opanas_cli.genotype import Genotype
    from opanas_cli.necks.super_net import OPASuperNet

    net = OPASuperNet([4] * 3, 4, 4, num_nodes=1).eval()
    pyramid = [torch.randn(3, 4, 8 // 2**level, 8 // 2**level) for level in range(3)]
    genotype = Genotype.of(["top_down"])
    with program("evaluate").counted_path_calls(net) as ran:
        for _ in range(2):
            net.aggregate(pyramid, genotype)
    assert ran["image_calls"] == 6
    net.aggregate(pyramid, genotype)
    assert ran["image_calls"] == 6


def test_step(program: Callable[[str], ModuleType], document: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    # In this process: importing mmdet anew for each method takes longer than all the rest.
    step = program("step")
    monkeypatch.setattr(step, "_process_peak", step._peak_of_this_process)
    printed = document("step", "--num-nodes", 1, "--batch-size", 2, "--image-size", 64, 64, "--repeats", 1)
    for way in ("reference", "full_passes"):
        faster = printed["seconds"][way] / printed["seconds"]["shared"]
        assert printed[f"speedup_vs_{way}"] == pytest.approx(faster)


def test_scale(document: Run) -> None:
    sizes = ["--batch-size", 1, "--repeats", 2, "--rounds", 1, "--population", 2, "--images", 8]
    printed = document("scale", "--ranks", 1, *sizes)
    assert printed["efficiency"] is None
    assert printed["evaluation_efficiency"] is None
    assert [row["processes"] for row in printed["model"]] == [1, 2, 8, 64]


def test_large_folder(program: Callable[[str], ModuleType], tmp_path: Path) -> None:
    # In this process: importing mmdet anew for each reading takes longer than all the rest.
    large_folder = program("large_folder")
    for layout in ("yolo", "voc", "coco"):
        root = tmp_path / layout
        large_folder.write_folder(root, layout, 30)
        counts = {reading: count(root) for reading, count in large_folder.READINGS.items()}
        assert counts["survey"] == 30
        assert counts["check"] == counts["load"] in range(15, 30)


def test_processes_share_out_whole_batches(program: Callable[[str], ModuleType]) -> None:
    model = program("scaling_model")
    links = model.Links(float("inf"), float("inf"), 0.0)
    alone = model.Measured(1.0, 1.0, 0.0, 8.0, 0.0, 0.0, 50, images=8)
    rows = model.modelled(alone, links, images=17, detections=1)
    assert [row["pass_seconds"] for row in rows] == pytest.approx([17, 34 / 3, 17 / 3, 17 / 3])
    assert rows[1]["evaluation_efficiency"] == pytest.approx(3 / 4)


def _is_killed(results: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _tells(results: Any) -> None:
    results.put({"error": "BrokenBarrierError: "})


def test_a_killed_process_is_told_of(program: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> None:
    scale = program("scale")
    monkeypatch.setattr(scale, "SECONDS_TO_TELL", 0.2)
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    processes = [context.Process(target=target, args=(results,)) for target in (_tells, _is_killed)]
    for process in processes:
        process.start()
    measured = scale.told_by(processes, results)
    for process in processes:
        process.join()
    assert len(measured) == 1
    failure = scale.failure_of(measured, [process.exitcode for process in processes])
    assert "process 1 by signal 9" in failure
    assert (
        scale.failure_of([{"error": "BrokenBarrierError: "}, {"error": "ValueError: no"}], [1, 1]) == "ValueError: no"
    )
    assert scale.failure_of([{}, {}], [0, 0]) is None


def test_halving(document: Run, tiny: list[object]) -> None:
    sizes = ["--candidates", 12, "--population", 2, "--populations", 5]
    searches = ["--seeds", 2, "--search-population", 3, "--search-generations", 1]
    printed = document("halving", *tiny, *sizes, *searches)
    assert 1 <= printed["pools"]["any"]["distinct_winners"] <= 5
    assert len(printed["searches"]["ap_lost"]) == printed["searches"]["seeds"] == 2
    assert 0 <= printed["searches"]["winner_changed"] <= 2


def test_remembered_halving_is_that_of_the_evaluator(
    program: Callable[[str], ModuleType], tiny: list[object], tiny_supernet: Path
) -> None:
    import numpy as np
    import torch

    from opanas_cli.detection.configs.files import load_config
    from opanas_cli.detection.configs.necks import search_space
    from opanas_cli.detection.evaluating.evaluator import SuperNetEvaluator
    from opanas_cli.detection.super_net_file import read_super_net
    from opanas_cli.search.strategies.operators import sample
    from opanas_cli.stage_settings import SearchSection

    halving = program("halving")
    config, device = load_config(str(tiny[1])), torch.device("cpu")
    content = read_super_net(tiny_supernet)
    split = content["meta"]["search_split"]
    own = SuperNetEvaluator(config, content["state_dict"], "", split, device, SearchSection(halving=True))
    rng = np.random.default_rng(0)
    genotypes = [sample(search_space(config), rng) for _ in range(5)]
    remembered = halving.Halving(halving.Evaluations(config, tiny_supernet, device)).evaluate(genotypes)
    for found, expected in zip(remembered, own.evaluate(genotypes), strict=True):
        assert found.metrics == pytest.approx(expected.metrics, abs=1e-6, nan_ok=True)
        assert found.image_share == expected.image_share


def test_report(document: Run) -> None:
    printed = document("report", "--candidates", 8, "--nodes", 2, "--repeat", 1)
    assert (printed["candidates"], printed["nodes"]) == (8, 2)
    assert 0 < printed["best_seconds"] <= printed["median_seconds"]
    assert 20_000 < printed["bytes"] < printed["limit_bytes"]


def test_strategies(document: Run, tiny: list[object], monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = ["--population", 2, "--generations", 1, "--top-k", 2, "--seeds", 2]
    printed = document("strategies", *tiny, *sizes, "--metric", "VOC_AP50", "--strategies", "random", "regularized")
    assert list(printed["strategies"]) == ["random", "regularized"]
    for row in printed["strategies"].values():
        assert list(row["best"]) == ["2", "4"]
        assert [len(run) for run in row["runs"]] == [4, 4]


def test_strategies_that_cannot_be_built_are_left_out(
    program: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    strategies = program("strategies")

    def missing(*_: object) -> None:
        raise MissingDependencyError("it needs pymoo")

    known = {**strategies.STRATEGIES.all, "nsga2": missing}
    monkeypatch.setattr(strategies, "STRATEGIES", SimpleNamespace(all=known))
    assert strategies.buildable(["random", "nsga2"], strategies.StrategySettings()) == ["random"]
    assert capsys.readouterr().err == "nsga2 is left out: it needs pymoo\n"


def test_the_dominated_area(program: Callable[[str], ModuleType]) -> None:
    from opanas_cli.genotype import Genotype
    from opanas_cli.search import Candidate, Cost, Proposal

    found = [(100, 0.2), (150, 0.5), (180, 0.4), (200, 0.6)]
    candidates = [
        Candidate(index, Proposal(Genotype.of(["top_down"])), Cost(macs, 1), fitness, {})
        for index, (macs, fitness) in enumerate(found)
    ]
    area = program("strategies").hypervolume_within([100, 300])(candidates)
    assert area == pytest.approx((50 * 0.2 + 50 * 0.5 + 100 * 0.6) / 200)


def test_latency(document: Run, tiny: list[object]) -> None:
    printed = document("latency", *tiny, "--genotypes", 3)
    rows = printed["genotypes"]
    assert len(rows) == 3
    errors = [abs(row["predicted_ms"] - row["measured_ms"]) / row["measured_ms"] for row in rows]
    assert printed["mean_relative_error"] == pytest.approx(sum(errors) / 3)
    assert printed["max_relative_error"] == pytest.approx(max(errors))


def test_initialization(document: Run, tiny: list[object], tmp_path: Path) -> None:
    config, results = str(tiny[1]), tmp_path / "results.json"
    known = {"config": Path(config).stem, "genotype": "top-down", "init": "xavier", "seed": 0, "AP": 0.25, "seconds": 1}
    results.write_text(json.dumps({"version": 1, "rows": [known]}))
    printed = document("initialization", "--genotype", "top-down", "--seeds", 1, "--results", results, config)
    assert printed == json.loads(results.read_text())
    assert printed["rows"][0] == known
    assert [row["init"] for row in printed["rows"]] == ["xavier", "released"]
    assert 0 <= printed["rows"][1]["AP"] <= 1


def test_figure_4(document: Run, tmp_path: Path, tiny_options: tuple[str, ...]) -> None:
    tiny_options = tuple(option for option in tiny_options if not option.startswith("supernet.epochs="))
    options: list[object] = ["--epochs", 2, "--sub-nets", 2, "--results", tmp_path / "f.json"]
    options += ["--plot", tmp_path / "f.svg"]
    printed = document("figure_4", *options, "--cfg-options", *tiny_options)
    arms = ["with edge importance", "without edge importance"]
    assert [row["arm"] for row in printed["rows"]] == arms
    assert all(row["epoch"] == [1, 2] and len(row["means"]) == 2 for row in printed["rows"])
    assert json.loads((tmp_path / "f.json").read_text()) == printed
    drawn = (tmp_path / "f.svg").read_text()
    assert all(arm in drawn for arm in [*arms, "mean AP of 2 random sub-nets"])
    # The seconds would differ if anything were trained again.
    assert document("figure_4", *options, "--cfg-options", *tiny_options) == printed


def test_the_arms_of_figure_4_differ_in_edge_importance_only(
    program: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch, tiny_options: tuple[str, ...]
) -> None:
    figure_4 = program("figure_4")
    configs = []

    def train(config: Any, folder: Path, seed: int, device: object) -> SimpleNamespace:
        configs.append(config)
        return SimpleNamespace(watched=[{"epoch": 1, "step": 3, "mean_AP": 0.5}])

    monkeypatch.setattr(figure_4, "train_super_net", train)
    options = argparse.Namespace(config="shapes", epochs=1, sub_nets=2, device="cpu", cfg_options=list(tiny_options))
    assert [figure_4.trained(options, arm, 0)["means"] for arm in figure_4.ARMS] == [[0.5], [0.5]]
    assert [config.model.neck.pop("edge_importance") for config in configs] == [True, False]
    assert configs[0].pretty_text == configs[1].pretty_text


def test_upstream_runs_its_steps(program: Callable[[str], ModuleType], tmp_path: Path) -> None:
    """In this environment; what the program makes one by pip for takes too long."""
    import sys

    assert program("upstream").steps_of("standalone", Path(sys.executable), tmp_path) == dict.fromkeys(
        ("build", "train", "test", "resume"), "ok"
    )
