"""A rank that dies under a real torchrun: all start again, and end with the files of an undisturbed run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

PATIENCE = 120.0


def torchrun(*arguments: object) -> subprocess.Popen[str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*launcher, "--max-restarts", "1", "-m", "opanas_cli", *map(str, arguments)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


def ranks(launcher: int) -> Iterator[tuple[int, str]]:
    """The processes that a launcher started, with their ranks."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            variables = (folder / "environ").read_bytes().split(b"\0") if parent == launcher else []
        except OSError:  # It has ended.
            continue
        yield from ((int(folder.name), value[5:].decode()) for value in variables if value.startswith(b"RANK="))


def super_net_of(work_dir: Path) -> tuple[dict[str, bytes], object]:
    """The weights and the provenance of a super-net, less what it has cost: steps that a kill lost are taken again."""
    content = torch.load(work_dir / "supernet.pth", weights_only=True)
    assert content["meta"].pop("spent")["images"] > 0
    return {name: value.numpy().tobytes() for name, value in content["state_dict"].items()}, content["meta"]


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds the ranks of torchrun in /proc, of Linux")
def test_a_rank_that_is_killed_changes_no_file(tiny_options: tuple[str, ...], tmp_path: Path) -> None:
    often = ["supernet.batch_size=1", "supernet.epochs=4", "checkpoints.steps=1"]
    options = ["--device", "cpu", "--cfg-options", *tiny_options, *often]
    whole, killed = (
        torchrun("train-supernet", "shapes", "--work-dir", tmp_path / name, *options) for name in ("whole", "killed")
    )
    deadline = time.monotonic() + PATIENCE
    while not list((tmp_path / "killed" / "train-supernet").glob("step_*.pth")):
        assert killed.poll() is None, killed.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    victims = [process for process, rank in ranks(killed.pid) if rank == "1"]
    assert len(victims) == 1
    os.kill(victims[0], signal.SIGKILL)
    said = {name: run.communicate(timeout=PATIENCE)[1] for name, run in (("whole", whole), ("killed", killed))}
    assert (whole.returncode, killed.returncode) == (0, 0), said
    assert "Signal 9" in said["killed"] or "exitcode: -9" in said["killed"], said["killed"]
    for name in ("whole", "killed"):
        assert "Traceback" not in said[name], said[name]
    files = [sorted(path.name for path in (tmp_path / name).iterdir()) for name in ("whole", "killed")]
    assert files[0] == files[1]
    assert super_net_of(tmp_path / "whole") == super_net_of(tmp_path / "killed")


def test_a_whole_search(tiny_options: tuple[str, ...], tmp_path: Path) -> None:
    small = ["search.population=2", "search.generations=1", "search.top_k=1"]
    options = ["--device", "cpu", "--cfg-options", *tiny_options, *small]
    _, said = torchrun("search", "shapes", "--work-dir", tmp_path, *options).communicate(timeout=PATIENCE)
    assert said.count("3/3 detector: 2/2") == 1, said
    assert {"supernet.pth", "best.json", "winner.py", "detector.pth", "search.json"} <= {
        path.name for path in tmp_path.iterdir()
    }
