"""Each benchmark runs, tiny, and prints one JSON document with what it promises. None is timed."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import importlib
import io
import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from opanas_cli.commands import run as run_opanas
from opanas_cli.errors import MissingDependencyError

PROGRAMS = Path(__file__).parents[2] / "benchmarks"
MODULES = [path.stem for path in PROGRAMS.glob("*.py")]

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Imports a program as if it had been started: its folder comes first on the path."""
    monkeypatch.syspath_prepend(str(PROGRAMS))
    for name in MODULES:
        monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module


@pytest.fixture
def document(
    program: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Runs a program with --json and reads what it prints."""

    def run(name: str, *arguments: object) -> dict[str, Any]:
        monkeypatch.setattr(sys, "argv", [f"{name}.py", "--json", *map(str, arguments)])
        capsys.readouterr()
        program(name).main()
        printed: dict[str, Any] = json.loads(capsys.readouterr().out)
        return printed

    return run


@pytest.fixture(scope="module")
def tiny(tiny_options: tuple[str, ...], tiny_supernet: Path, tmp_path_factory: pytest.TempPathFactory) -> list[object]:
    """The options that name a tiny config and its super-net."""
    from opanas_cli.detection.configs.files import load_config

    config = tmp_path_factory.mktemp("config") / "tiny.py"
    load_config("shapes", tiny_options).dump(config)
    return ["--config", config, "--supernet", tiny_supernet]


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
    from opanas_cli.search.operators import sample
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


def test_methods(
    program: Callable[[str], ModuleType],
    document: Run,
    tiny_options: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def here(*arguments: object, settings: list[str]) -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            assert run_opanas([*map(str, arguments), "-q", "--cfg-options", *settings]) == 0

    monkeypatch.setattr(program("methods"), "opanas", here)
    names = ["random", "spos", "fair-darts", "fair"]
    few = ("search.population=2", "search.generations=0", "search.top_k=1")
    options = ["--run", "--device", "cpu", "--random", 1, "--methods", *names, "--cfg-options", *tiny_options, *few]
    printed = document("methods", "--work-dir", tmp_path, *options)["methods"]
    assert list(printed) == names
    spent = [(row["spent"]["images"], row["spent"]["evaluations"]) for row in printed.values()]
    # A training alone on all 12 images; one epoch on 7, and two sub-nets on the 5 held out, or 7 drawn of those.
    assert spent == [(12, 1), (12, 2), (14, 0), (12, 2)]
    assert all(row["spent"]["device_seconds"] > 0 and 0 <= row["AP"] <= 1 for row in printed.values())
    assert document("methods", "--work-dir", tmp_path)["methods"] == printed


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


def test_ground_truth(
    program: Callable[[str], ModuleType], document: Run, tiny_options: tuple[str, ...], tmp_path: Path
) -> None:
    places = ["--work-dir", tmp_path / "work", "--results", tmp_path / "table.json"]
    sizes = ["--images", 8, 4, "--start-epochs", 1, "--cfg-options", *tiny_options, "model.backbone.base_channels=8"]
    sizes += ["model.backbone.stem_channels=8", "model.neck.in_channels=[8,16,32,64]"]
    assert document("ground_truth", *places, "--limit", 1, *sizes)["trainings"] == 1
    printed = document("ground_truth", *places, "--sample", 1, *sizes)
    (first, second) = json.loads((tmp_path / "table.json").read_text())["rows"]
    assert printed["trainings"] == 2
    assert (first["genotype"], first["macs"], first["seed"]) == (second["genotype"], second["macs"], 0)
    assert list(printed["best"]) == [first["genotype"]]
    assert list((tmp_path / "work" / "trainings").iterdir()) == []
    with pytest.raises(SystemExit, match="another recipe"):
        document("ground_truth", *places, "--limit", 1, *sizes, "retrain.lr=0.5")


def test_the_ground_truth_is_of_all_networks_and_the_extremes_come_last(program: Callable[[str], ModuleType]) -> None:
    truth = program("ground_truth")
    genotypes = truth.genotypes_of_the_space()
    assert len({truth.Architecture(genotype) for genotype in genotypes}) == len(genotypes) == 170
    assert set(program("ground_truth_table").NAMED.values()) <= {truth.line_of(genotype) for genotype in genotypes}
    options = argparse.Namespace(sample=5, seeds=1, extremes=1, extreme_seeds=3)
    tasks = truth.missing_tasks(options, [])
    assert tasks == [(genotype, 0) for genotype in genotypes[:5]]
    rows = [
        {"genotype": truth.line_of(genotype), "seed": 0, "AP": place / 10} for place, (genotype, _) in enumerate(tasks)
    ]
    more = [(genotypes[0], 1), (genotypes[4], 1), (genotypes[0], 2), (genotypes[4], 2)]
    assert truth.missing_tasks(options, rows) == more


def test_processes_side_by_side_train_different_necks(program: Callable[[str], ModuleType], tmp_path: Path) -> None:
    truth = program("ground_truth")
    tasks = [(genotype, 0) for genotype in truth.genotypes_of_the_space()[:2]]
    for _ in range(2):
        with (
            truth.claimed(tasks, truth.name_of, tmp_path) as first,
            truth.claimed(tasks, truth.name_of, tmp_path) as second,
        ):
            assert [first, second] == tasks


def test_what_the_table_tells(program: Callable[[str], ModuleType]) -> None:
    table = program("ground_truth_table")
    rows = [
        {"genotype": str(place), "seed": seed, "AP": ap, "macs": -place, "seconds": 1, "cpu_seconds": 1}
        for place, pair in enumerate([[0.1, 0.2], [0.3, 0.5], [0.4, 0.6]])
        for seed, ap in enumerate(pair)
    ]
    report = table.report_of(rows)
    assert [report[f"tau_{name}"]["value"] for name in ("between_seeds", "of_macs")] == pytest.approx([1, -1])
    assert list(report["best"]) == ["2", "1", "0"]
    ranks = {"0": 0.5, "1": 0.6, "2": 0.4, "not in the table": 0.9}
    row = {"setting": "-", "seed": 0, "steps": 1, "train_cpu_seconds": 1, "AP": ranks, "AP_many": ranks}
    found = table.report_of_super_net(row, rows)
    assert found["tau"]["value"] == pytest.approx(-1 / 3)
    assert found["regret"] == pytest.approx({1: 0.1, 5: 0.0})


def test_regret_falls_with_the_evaluations(program: Callable[[str], ModuleType], document: Run, tmp_path: Path) -> None:
    truth = program("ground_truth")
    lines = [truth.line_of(genotype) for genotype in truth.genotypes_of_the_space()]
    rows = [{"genotype": line, "seed": 0, "AP": place / 200, "macs": 1} for place, line in enumerate(lines)]
    table, rankings = tmp_path / "table.json", tmp_path / "rankings.json"
    table.write_text(json.dumps({"rows": rows}))
    # A super-net that ranks the other way round.
    row = {"setting": "worst", "AP": {row["genotype"]: -row["AP"] for row in rows}}
    rankings.write_text(json.dumps({"rows": [row]}))
    places = ("--truth", table, "--rankings", rankings, "--seeds", 3)
    for name, budgets in document("regret", *places)["regret"].items():
        means = [cell["mean"] for cell in budgets.values()]
        assert means == sorted(means, reverse=True), name
        assert 0 <= means[-1] < means[0] <= 0.2
    for budgets in document("regret", *places, "--setting", "worst")["regret"].values():
        assert budgets["80"]["min"] > 0.6
    table.write_text(json.dumps({"rows": rows[1:]}))
    with pytest.raises(SystemExit, match="1 networks are not trained yet"):
        document("regret", *places)


def test_multiply_adds_are_those_by_hand(program: Callable[[str], ModuleType]) -> None:
    import torch

    weight, image = torch.rand(4, 3, 3, 3, requires_grad=True), torch.rand(2, 3, 8, 8)
    call = lambda: torch.nn.functional.conv2d(image, weight).sum().backward()  # noqa: E731
    # 2 images of 6×6 outputs, forward and once more for the gradient of the weight.
    assert program("measuring").multiply_adds(call) == 2 * (2 * 6 * 6 * 4 * 27)


GPU_TESTS = """
import pytest

pytestmark = pytest.mark.gpu

def test_good(): pass

def test_bad(): assert False

@pytest.mark.skipif(True, reason="-")
def test_left_out(): pass
"""


def test_gpu(
    program: Callable[[str], ModuleType], document: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import opanas_cli.detection.costs.latency as latency

    (tmp_path / "test_gpu.py").write_text(GPU_TESTS)
    gpu, step = program("gpu"), program("step")
    monkeypatch.setattr(gpu, "TINY", dataclasses.replace(gpu.TINY, tests=str(tmp_path / "test_gpu.py")))
    monkeypatch.setitem(gpu.PARTS, "step", (gpu.PARTS["step"][0], ("bfloat16",)))
    # In this process, and a few rounds only.
    monkeypatch.setattr(step, "_process_peak", lambda *_: 1.0)
    monkeypatch.setattr(latency, "FEWEST_ROUNDS", 1)
    monkeypatch.setattr(latency, "MOST_ROUNDS", 1)
    options = ["--device", "cpu", "--tiny", "--results", tmp_path / "results"]
    parts = document("gpu", *options)["parts"]
    assert list(parts) == [*gpu.PARTS, "projection"]
    assert [row for rows in parts.values() for row in rows if "error" in row or not rows] == []
    tested = parts["tests"][0]
    assert [tested[name] for name in ("passed", "failed", "errors", "skipped")] == [1, 1, 0, 1]
    assert [name.rpartition("::")[2] for name in tested["broken"]] == ["test_bad"]
    assert {row["case"] for row in parts["step"]} == {"reference", "full_passes", "shared"}
    shared = next(row for row in parts["step"] if row["case"] == "shared")
    peaks = {row["precision"]: row["tflops"] for row in parts["roofline"]}
    assert shared["share_of_roofline"] == pytest.approx(shared["tflops"] / peaks["bfloat16"])
    assert [row["precision"] for row in parts["projection"]] == ["bfloat16"]

    # Nothing is measured again, unless asked for, nor mixed with what was measured elsewhere.
    measured: list[str] = []
    monkeypatch.setattr(gpu, "rows_of", lambda part, *_: measured.append(part) or [])
    assert document("gpu", *options)["parts"] == parts
    assert measured == []
    document("gpu", *options, "--part", "step", "--again")
    assert measured == ["step"]
    with pytest.raises(SystemExit, match=r"roofline\.json: was measured under .*'tiny': True"):
        document("gpu", "--device", "cpu", "--results", tmp_path / "results")


def test_a_gpu_part_that_fails_is_an_error_in_its_row(
    program: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import torch

    gpu, parts = program("gpu"), program("gpu_parts")
    run = gpu.Run(gpu.TINY, torch.device("cpu"), tmp_path)

    def too_large(batch: int) -> list[dict[str, Any]]:
        if batch > 1:
            raise torch.cuda.OutOfMemoryError
        return [{"case": "shared"}]

    def stuck(*_: object) -> None:
        try:
            time.sleep(60)
        except Exception:
            pytest.fail("was kept")

    for minutes, measure, expected in (
        (1, lambda *_: parts.at_the_batch_that_fits(run, too_large), [("", 2, "out of memory"), ("shared", 1, None)]),
        (1, lambda *_: 1 / 0, [("", None, "ZeroDivisionError: division by zero")]),
        (0.01, stuck, [("", None, "out of time")]),
    ):
        monkeypatch.setitem(gpu.PARTS, "step", (measure, ("float32",)))
        rows = gpu.rows_of("step", run, minutes)
        assert [(row["case"], row.get("batch_size"), row.get("error")) for row in rows] == expected


def test_the_projected_hours_are_those_by_hand(program: Callable[[str], ModuleType]) -> None:
    step = {"case": "shared", "precision": "bfloat16", "batch_size": 16, "seconds": 2.0}
    judged = {"case": "ours", "precision": "tf32", "candidates": 50, "images": 10, "seconds": 5.0}
    (row,) = program("gpu").projections({"step": {"rows": [step]}, "evaluation": {"rows": [judged]}})
    # 17743 steps of 2 s, and 3 million images of 10 ms.
    assert row["gpu_hours"] == pytest.approx((12 * 118287 / 5 / 16 * 2 + 600 * 5000 * 0.01) / 3600)
