"""``opanas correlate`` and ``opanas compare`` from end to end, on trainings of seconds."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from opanas_cli.commands import run
from opanas_cli.detection.checkpoints import fingerprint

QUIET = ("--device", "cpu", "-q")


def test_correlate(
    tiny_options: tuple[str, ...],
    tiny_supernet: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    refused: Callable[..., str],
) -> None:
    arguments = ["correlate", "shapes", tiny_supernet, "--num", 3, "--seeds", 2, "--work-dir", tmp_path / "work"]
    options = [*QUIET, "--cfg-options", *tiny_options]
    assert run([str(part) for part in (*arguments, "--json", *options)]) == 0
    document = json.loads(capsys.readouterr().out)
    saved = json.loads((tmp_path / "work" / "correlation.json").read_text())
    assert saved.items() <= document.items()
    assert saved["super_net_fingerprint"] == fingerprint(tiny_supernet)
    assert len({network["genotype"] for network in saved["networks"]}) == 3
    assert all(len(network["alone"]) == 2 for network in saved["networks"])
    names = {"correlation.json", "correlation.jsonl", "correlation.svg"}
    assert {path.name for path in (tmp_path / "work").iterdir() if not path.name.startswith(".")} == names
    rows = (tmp_path / "work" / "correlation.jsonl").read_text()
    assert len(rows.splitlines()) == 6
    assert "already exists; add --resume" in refused(2, *arguments, *options)
    assert run([str(part) for part in (*arguments, "--resume", *options)]) == 0
    assert re.search(r"super-net .*\nMACs .*\n3 networks, \d pairs", capsys.readouterr().out)
    assert (tmp_path / "work" / "correlation.jsonl").read_text() == rows
    few = refused(5, *arguments[:-1], tmp_path / "few", "--max-macs", "1M", *options)
    assert "hold 0 different networks within the limits, but 3 were asked for" in few


def test_stratified_sub_nets_spread_over_the_ranking(
    tiny_options: tuple[str, ...], tiny_supernet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from opanas_cli.detection.evaluating.evaluator import SuperNetEvaluator
    from opanas_cli.detection.experiments import correlating
    from opanas_cli.search.evaluator import Evaluation

    monkeypatch.setattr(
        SuperNetEvaluator, "evaluate", lambda self, drawn: [Evaluation({"AP": i / 100}) for i in range(len(drawn))]
    )
    monkeypatch.setattr(correlating, "run_trainings", lambda trainings, *_, **__: [])
    monkeypatch.setattr(correlating, "_networks", lambda config, genotypes, judged, *_: judged)
    monkeypatch.setattr(correlating, "correlation_of", lambda judged: {"judged": judged})
    from opanas_cli.commands.correlate import correlate as command
    from opanas_cli.detection.configs.files import load_config

    config = load_config("shapes", tiny_options)
    arguments = (tiny_supernet, correlating.Sampling(5, stratified=True), 0, 1, tmp_path)
    found = correlating.correlate(config, *arguments, correlating.torch.device("cpu"), False)["judged"]
    assert [int(figure * 10) for figure in found] == [0, 1, 2, 3, 4]
    assert command.name == "correlate"


def test_compare(
    tiny_options: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str], refused: Callable[..., str]
) -> None:
    wide = [option.replace("=8", "=24") if "channels=8" in option else option for option in tiny_options]
    against = ["compare", "shapes", "--genotype", "top-down", "--against", "fpn,random:2"]
    options = ["--work-dir", tmp_path, *QUIET, "--cfg-options", *wide]
    assert run([str(part) for part in (*against, "--seeds", 1, *options)]) == 0
    assert "one seed shows no difference; add seeds" in capsys.readouterr().out
    assert "already exists; add --resume" in refused(2, *against, *options)
    assert run([str(part) for part in (*against, "--seeds", 2, "--resume", "--json", *options)]) == 0
    document = json.loads(capsys.readouterr().out)
    saved = json.loads((tmp_path / "comparison.json").read_text())
    assert saved.items() <= document.items()
    assert [network["name"] for network in saved["networks"]] == ["top-down", "fpn", "random-1", "random-2", "random"]
    for network in saved["networks"][1:]:
        assert abs(network["macs"] / saved["networks"][0]["macs"] - 1) <= 0.05
        assert len(network["figures"]) == 2
        assert network["verdict"]
    first, second, mean = (saved["networks"][place]["figures"] for place in (2, 3, 4))
    assert mean == pytest.approx([(a + b) / 2 for a, b in zip(first, second, strict=True)])
    assert len((tmp_path / "comparison.jsonl").read_text().splitlines()) == 8
    assert {path.name for path in (tmp_path / "fpn-1").iterdir()} == {"detector.pth"}
    assert "<svg" in (tmp_path / "comparison.svg").read_text()
    assert run([str(part) for part in (*against, "--seeds", 1, "--resume", *options) if part != "-q"]) == 0
    assert "top-down × 1 " in capsys.readouterr().err, "the table has the trainings that were asked for"
