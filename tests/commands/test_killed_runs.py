"""Killed at any moment and resumed, a run ends as if nothing had happened: the same files, byte for byte."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from without_spent import results_of

FEW, MANY = 3, 20
"""How often each command is killed: always, and when slow tests run too."""
NARROW = ("model.backbone.base_channels=8", "model.backbone.stem_channels=8", "model.neck.in_channels=[8,16,32,64]")
"""Beside a super-net that was trained with it, a run need not be of its shape."""
OFTEN = ("checkpoints.steps=1", "checkpoints.minutes=1e-9")
TRAINING = {
    "train-supernet": (
        *("supernet.batch_size=1", "supernet.epochs=2", "supernet.milestones=(1,)"),
        *("supernet.watch_interval=1", "supernet.watch_sub_nets=1"),
    ),
    "retrain": ("retrain.batch_size=2", "retrain.epochs=2", "retrain.milestones=(1,)", "retrain.warmup_iters=4"),
}
SEARCH = ("--population", 4, "--generations", 2, "--top-k", 2)


def jobs(tiny_options: tuple[str, ...], super_net: Path, kills: int) -> list[dict[str, Any]]:
    options = ["--work-dir", "WORK", "--device", "cpu", "-q", "--cfg-options", *tiny_options]
    commands: dict[str, tuple[list[Any], str]] = {
        "train-supernet": (
            ["train-supernet", "shapes", *options, *NARROW, *OFTEN, *TRAINING["train-supernet"]],
            "train-supernet/step_*.pth",
        ),
        "retrain": (
            ["retrain", "shapes", "--genotype", "top-down", *options, *NARROW, *OFTEN, *TRAINING["retrain"]],
            "retrain/step_*.pth",
        ),
        "evolve": (["evolve", "shapes", super_net, *SEARCH, *options, "search.batch_size=1"], "history.jsonl"),
    }
    return [
        {"name": name, "arguments": [str(part) for part in arguments], "trace": trace, "kills": kills, "seed": seed}
        for seed, (name, (arguments, trace)) in enumerate(commands.items())
    ]


@pytest.fixture(scope="module", params=[FEW, pytest.param(MANY, marks=pytest.mark.slow)])
def killed(
    request: pytest.FixtureRequest,
    tiny_options: tuple[str, ...],
    tiny_supernet: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, dict[str, Any]]:
    """The folder with the runs of all commands, and what was done to them."""
    folder = tmp_path_factory.mktemp("killed")
    process = subprocess.run(
        [sys.executable, Path(__file__).with_name("killed_runs.py"), folder],
        input=json.dumps(jobs(tiny_options, tiny_supernet, request.param)),
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert process.returncode == 0, process.stderr
    report: dict[str, Any] = json.loads(process.stdout)
    assert all(job["kills"] == request.param for job in report.values()), report
    return folder, report


@pytest.mark.parametrize(
    ("command", "results"),
    [
        ("train-supernet", ["supernet.pth"]),
        ("retrain", ["detector.pth"]),
        ("evolve", []),
    ],
)
def test_a_killed_run_ends_as_an_undisturbed_one(
    command: str, results: list[str], killed: tuple[Path, dict[str, Any]]
) -> None:
    folder, report = killed[0] / command, killed[1][command]
    said = (folder / "killed.log").read_text()
    assert report["failures"] == [], said
    assert (report["within_pass"] > 0) == (command == "evolve")
    assert "Traceback" not in said
    whole = folder / "whole"
    others = sorted(folder.glob("killed-*/"))
    assert len(others) == report["finished"]
    for other in others:
        assert [name for name in results if (other / name).read_bytes() != (whole / name).read_bytes()] == []
        assert {path.name for path in other.iterdir()} == {path.name for path in whole.iterdir()}
        assert not list(other.rglob(".*"))
        if command == "evolve":
            assert results_of(other) == results_of(whole)
        else:
            assert_equal_checkpoints(whole / command, other / command)


def assert_equal_checkpoints(whole: Path, other: Path) -> None:
    """The newest ones: optimizer, schedules, position and random states too."""
    names = [sorted(path.name for path in folder.glob("step_*.pth")) for folder in (whole, other)]
    assert len(names[0]) == 2
    assert names[0] == names[1]
    contents = [torch.load(folder / names[0][-1], weights_only=True) for folder in (whole, other)]
    assert {"state_dict", "optimizer", "param_schedulers", "position", "random_states", "losses"} <= set(contents[0])
    assert list(differing(*contents)) == []


def differing(left: Any, right: Any, name: str = "") -> Any:
    """Where two checkpoints do not agree."""
    if isinstance(left, dict) and isinstance(right, dict) and left.keys() == right.keys():
        for key in left:
            yield from differing(left[key], right[key], f"{name}.{key}")
    elif isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)) and len(left) == len(right):
        for index, pair in enumerate(zip(left, right, strict=True)):
            yield from differing(*pair, f"{name}[{index}]")
    elif isinstance(left, torch.Tensor) and isinstance(right, torch.Tensor):
        if not torch.equal(left, right):
            yield name
    elif left != right:
        yield name
