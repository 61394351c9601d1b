"""Strategies and limits through the command line, on a tiny super-net."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from without_spent import results_of

from opanas_cli.commands import run
from opanas_cli.formats.json_format import record_of
from opanas_cli.search.latency_table import parse_latency_table

Refused = Callable[..., str]
Evolve = Callable[..., dict[str, Any]]


@pytest.fixture
def evolve(tiny_supernet: Path, tiny_options: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> Evolve:
    """Runs a search of 12 candidates that must succeed, and returns its JSON document."""

    def call(folder: Path, *arguments: str) -> dict[str, Any]:
        capsys.readouterr()
        options = ["--population", "4", "--generations", "2", "--top-k", "2", "--json", "--device", "cpu"]
        fixed = ["evolve", "shapes", str(tiny_supernet), "--work-dir", str(folder), *options]
        code = run([*fixed, *arguments, "--cfg-options", *tiny_options])
        out, err = capsys.readouterr()
        assert code == 0, err
        document: dict[str, Any] = json.loads(out)
        return document

    return call


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure latencies in few rounds."""
    from opanas_cli.detection.costs import latency

    monkeypatch.setattr(latency, "MOST_ROUNDS", latency.FEWEST_ROUNDS)


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]


def test_the_pareto_front_is_kept(evolve: Evolve, tmp_path: Path) -> None:
    document = evolve(tmp_path, "--strategy", "nsga2", "--against", "params")

    _, *candidates = lines(tmp_path)
    points = {(candidate["cost"]["params"], candidate["fitness"]) for candidate in candidates}
    front = {
        (params, fitness)
        for params, fitness in points
        if not any(p <= params and f >= fitness and (p, f) != (params, fitness) for p, f in points)
    }
    population = json.loads((tmp_path / "population.json").read_text())
    assert population["pareto"]["against"] == "params"
    kept = population["pareto"]["architectures"]
    assert [(one["cost"]["params"], one["fitness"]) for one in kept] == sorted(front)
    assert {(one["params"], one["fitness"]) for one in document["pareto"]} == front
    best = json.loads((tmp_path / "best.json").read_text())
    assert record_of(kept[-1]["genotype"], "population.json").metadata["fitness"]["AP"] == document["best"]["fitness"]
    assert best["metadata"]["fitness"]["AP"] == max(fitness for _, fitness in points)
    assert "latency" not in document["files"]


@pytest.mark.usefixtures("quick")
def test_a_limit_on_latency_is_kept_and_the_table_measured_once(evolve: Evolve, tmp_path: Path) -> None:
    evolve(tmp_path / "all", "--against", "latency")
    file = tmp_path / "all" / "latency.json"
    table = parse_latency_table(file.read_text(), "latency.json")
    middle = sorted(line["cost"]["latency_ms"] for line in lines(tmp_path / "all")[1:])[5]
    (tmp_path / "some").mkdir()
    (tmp_path / "some" / "latency.json").write_bytes(file.read_bytes())

    document = evolve(tmp_path / "some", "--max-latency", f"{middle:.9f}ms", "--strategy", "regularized")

    header, *candidates = lines(tmp_path / "some")
    assert header["settings"]["evaluation"]["latency_table"] == table.digest
    assert max(candidate["cost"]["latency_ms"] for candidate in candidates) <= middle + 1e-9
    assert Path(document["files"]["latency"]).read_bytes() == file.read_bytes()
    best = json.loads((tmp_path / "some" / "best.json").read_text())
    assert best["metadata"]["cost"]["latency_ms"] == document["best"]["latency_ms"] <= middle + 1e-9


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("strategy", ["regularized", "nsga2"])
def test_a_search_cut_short_goes_on_with_its_table(evolve: Evolve, tmp_path: Path, strategy: str) -> None:
    options = ("--strategy", strategy, "--against", "latency")
    evolve(tmp_path, *options)
    table, history = tmp_path / "latency.json", tmp_path / "history.jsonl"
    whole = [*results_of(tmp_path), table.read_bytes()]
    history.write_bytes(b"".join(history.read_bytes().splitlines(keepends=True)[:7]))

    evolve(tmp_path, *options, "--resume")

    assert [*results_of(tmp_path), table.read_bytes()] == whole


def test_wrong_options_are_one_line(refused: Refused) -> None:
    command = ("evolve", "shapes", "s.pth")
    line = refused(2, *command, "--strategy", "genetic")
    assert line == "--strategy: 'genetic' is not a strategy; choose one of evolution, random, regularized, nsga2"
    line = refused(2, *command, "--max-latency", "50")
    assert line == "--max-latency: expected a positive number with a unit us, ms or s, e.g. 50ms, but got '50'"
    assert "'flops' is not one of" in refused(2, *command, "--against", "flops")


def test_without_pymoo_nothing_begins(
    refused: Refused,
    tiny_supernet: Path,
    tiny_options: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pymoo.core.problem", None)
    options = ("--strategy", "nsga2", "--work-dir", tmp_path, "--device", "cpu", "--cfg-options", *tiny_options)

    line = refused(4, "evolve", "shapes", tiny_supernet, *options)

    assert "the strategy nsga2 needs pymoo" in line
    assert "pip install 'opanas[nsga2]'" in line
    assert not (tmp_path / "history.jsonl").exists()


def test_finalists_are_trained_alone(evolve: Evolve, tmp_path: Path) -> None:
    document = evolve(tmp_path, "--finalists", "3")
    first, last = document["finalists"]
    assert (len(first["figures"]), len(last["figures"])) == (3, 2)
    assert document["best"]["genotype"] == max(last["figures"], key=last["figures"].__getitem__)
    best = json.loads((tmp_path / "best.json").read_text())
    assert best["metadata"]["provenance"]["finalists"] == document["finalists"]
    assert best["metadata"]["provenance"]["search"]["strategy"] == "evolution"
    assert best["metadata"]["fitness"]["AP"] == document["best"]["fitness"]
    assert list(best["metadata"]["spent"]) == ["train-supernet", "evolve", "finalists"]
    trained = (tmp_path / "finalists.jsonl").read_bytes()
    assert evolve(tmp_path, "--finalists", "3", "--resume") == document
    assert (tmp_path / "finalists.jsonl").read_bytes() == trained
