"""The table of all necks of a small space, and what is measured against it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from opanas_cli.detection.training.supernet_training import train_super_net

Run = Callable[..., dict[str, Any]]


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
    settings = sizes[sizes.index("--cfg-options") :]
    config = program("ground_truth").config_of(argparse.Namespace(cfg_options=settings[1:], work_dir=tmp_path / "work"))
    super_net = train_super_net(config, tmp_path / "super-net", 0, torch.device("cpu")).path
    given = ["--supernet", super_net, "--work-dir", tmp_path / "work", "--truth", tmp_path / "table.json"]
    for by in ("loss", "3"):
        found = document("fitness", *given, "--results", tmp_path / "fitness.json", "--by", by, *settings)["fitness"]
        assert found[by]["networks"] == 1
    values = json.loads((tmp_path / "fitness.json").read_text())["rows"]
    assert [list(row["values"]) for row in values.values()] == [[first["genotype"]]] * 2
    assert values["loss"]["values"][first["genotype"]] > 0


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
    assert found["shift"] == {"0": [1, 1], "1": [1, 1], "2": [-2, -2]}  # Each of these is its own and only path.


def test_regret_falls_with_the_evaluations(program: Callable[[str], ModuleType], document: Run, tmp_path: Path) -> None:
    truth = program("ground_truth")
    lines = [truth.line_of(genotype) for genotype in truth.genotypes_of_the_space()]
    rows = [
        {"genotype": line, "seed": seed, "AP": place / 200 + seed / 10, "macs": 1}
        for seed in (0, 1)
        for place, line in enumerate(lines)
    ]
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
    # If as many as were evaluated are trained alone, nothing is lost by its ranking. The one chosen by seed 0 is worth
    # 0.05 more by seed 1 than on average, and the other way round.
    own = document("regret", *places, "--setting", "worst", "--finalists", 80)["regret"]["random"]["80"]
    perfect = document("regret", *places)["regret"]["random"]["80"]
    assert own["mean"] == pytest.approx(perfect["mean"] + (-0.05 + 0.05 - 0.05) / 3)
    table.write_text(json.dumps({"rows": [row for row in rows if row["genotype"] != lines[0]]}))
    with pytest.raises(SystemExit, match="1 networks are not trained yet"):
        document("regret", *places)


def test_finalists_are_chosen_by_one_training_and_worth_what_others_say(
    program: Callable[[str], ModuleType], document: Run, tmp_path: Path
) -> None:
    def table(name: str, *seeds: list[float]) -> Path:
        rows = [
            {"genotype": f"{line}", "seed": seed, "AP": ap}
            for seed, own in enumerate(seeds)
            for line, ap in enumerate(own)
        ]
        (tmp_path / name).write_text(json.dumps({"rows": rows}))
        return tmp_path / name

    # By one training in full the last of the four is the best, but after an epoch only the first two are left.
    truth = table("truth.json", [0.1, 0.2, 0.3, 0.4], [0.3, 0.1, 0.7, 0.4], [0.3, 0.3, 0.3, 0.4])
    rounds = table("rounds.json", [0.5, 0.4, 0.3, 0.2])
    found = document("finalists", "--truth", truth, "--rounds", rounds, "--draws", 3)
    assert found["networks"] == 4
    # They are worth 0.3, 0.2, 0.5 and 0.4.
    assert found["gain"] == pytest.approx({"halving": -0.15, "in full": 0.05, "the best": 0.15})
    assert found["tau"] == pytest.approx([-1 / 3, 1 / 3])


def test_a_predictor_learns_what_the_super_net_does_not_know(
    program: Callable[[str], ModuleType], document: Run, tmp_path: Path
) -> None:
    truth = program("ground_truth")
    lines = [truth.line_of(genotype) for genotype in truth.genotypes_of_the_space()]
    # Alone, what counts is the number of top-down paths; the super-net knows another thing.
    rows = [{"genotype": line, "seed": 0, "AP": line.count("td") / 3, "macs": len(line)} for line in lines]
    judged = {"setting": "other", "seed": 0, "steps": 1, "train_cpu_seconds": 1}
    judged["AP"] = judged["AP_many"] = {line: line.count("se") / 3 for line in lines}
    table, rankings, chart = tmp_path / "table.json", tmp_path / "rankings.json", tmp_path / "chart.svg"
    table.write_text(json.dumps({"rows": rows}))
    rankings.write_text(json.dumps({"rows": [judged]}))
    places = ("--setting", "other", "--truth", table)
    *_, last = document("predictor", *places, "--rankings", rankings, "--draws", 3)["mean_tau"]
    assert last["AP, MACs, paths"] > 0.7  # Less than 1, for many networks have the same AP.
    assert abs(last["AP"]) < 0.3
    assert last["super-net"] < 0
    (found,) = document("rankings", *places, "--results", rankings, "--seeds", 0, "--chart", chart)["super_nets"]
    assert f"{found['tau']['value']:.2f} (" in chart.read_text()
