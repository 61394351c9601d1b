"""Two processes that work as one, by gloo on the CPU; `two_processes.py` is what they do."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as torch_dist
from torch.distributed import distributed_c10d

from opanas_cli.commands import run
from opanas_cli.detection.configs.building import build_detector
from opanas_cli.detection.configs.files import load_config
from opanas_cli.detection.configs.necks import search_space
from opanas_cli.detection.processes import group
from opanas_cli.detection.processes.group import joined
from opanas_cli.detection.super_net_file import read_super_net
from opanas_cli.detection.training.watching import held_out_evaluator
from opanas_cli.errors import UsageError
from opanas_cli.search.strategies.operators import sample

PROGRAM = Path(__file__).with_name("two_processes.py")
EVOLVE = ("--population", "4", "--generations", "1", "--top-k", "2")
"""As in `two_processes.py`."""

PORTS = 30
"""More than there are checks."""

Told = list[dict[str, Any]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("two")


@pytest.fixture(scope="module")
def told(folder: Path, shapes_root: Path, tiny_options: tuple[str, ...]) -> Told:
    """What the checks gave in each of the two processes."""
    return two_processes(folder, shapes_root, "cpu", tiny_options)


def two_processes(folder: Path, data_root: Path, device: str, options: tuple[str, ...]) -> Told:
    started = []
    port = free_ports(PORTS)
    for rank in ("0", "1"):
        environment = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
        environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        environment["PYTHONPATH"] = os.pathsep.join(sys.path)
        environment["TORCH_CPP_LOG_LEVEL"] = "ERROR"  # torch warns where one process is gone before the other.
        command = [sys.executable, str(PROGRAM), str(folder), str(data_root), device, *options]
        process = subprocess.Popen(
            command, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        started.append(process)
    try:
        said = [process.communicate(timeout=300)[0] for process in started]
    finally:
        for process in started:
            process.kill()
    assert [process.returncode for process in started] == [0, 9], said
    assert said == ["", ""]
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


def free_ports(count: int) -> int:
    """The first of `count` ports in a row that nobody listens on; other ones for each process that asks."""
    for attempt in range(100):
        first = 10_000 + (os.getpid() + 97 * attempt) * count % 20_000
        try:
            for port in range(first, first + count):
                socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return first
    raise AssertionError("no free ports")


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
def test_two_gpus_do_the_same(tmp_path: Path, shapes_root: Path, tiny_options: tuple[str, ...]) -> None:
    told = two_processes(tmp_path, shapes_root, "cuda", tiny_options)
    test_no_check_failed(told)
    test_two_processes_compute_the_gradients_of_the_whole_batch(told)
    test_all_processes_update_the_same_parameters(told)
    assert [told[0]["commands"][name][0] for name in ("train-supernet", "retrain", "evolve")] == [0, 0, 0]


def test_no_check_failed(told: Told) -> None:
    failed = [
        value["failed"] for one in told for value in one.values() if isinstance(value, dict) and "failed" in value
    ]
    assert failed == []


def test_two_processes_compute_the_gradients_of_the_whole_batch(told: Told) -> None:
    for one in told:
        assert one["gradients_on_halves_are_those_on_the_whole_batch"] < 1e-7
        step = one["a_step_on_halves_is_a_step_on_the_whole_batch"]
        assert step["parameters"] < 1e-7
        assert step["loss"] < 1e-6
        assert step["moved"] > 0.5


def test_two_processes_train_a_mixture_as_one(told: Told) -> None:
    for one in told:
        first, second = one["a_step_of_a_mixture_on_halves_is_one_on_the_whole_batch"]
        assert first < 1e-7
        assert second < 1e-4  # Of differences of gradients.


def test_all_processes_update_the_same_parameters(told: Told) -> None:
    for one in told:
        gradients = one["a_parameter_without_gradient_in_one_process_counts_as_zero"]
        assert gradients == [[1.5] * 3, [0.5] * 3, None]
        assert one["processes_stay_the_same"] is True


def test_a_loss_that_is_not_finite_stops_both(told: Told) -> None:
    for one in told:
        message = one["a_loss_that_is_not_finite_in_one_process_stops_both"]
        assert message.startswith("OpanasError: the loss is nan at step 1; lower supernet.lr")


def test_a_loss_that_one_process_leaves_out_is_the_mean_of_the_others(told: Told) -> None:
    expected = [
        {"loss": "1.5", "cls": "4.0"},
        {"loss": "1.5", "cls": "3.5"},
        {"loss": "nan"},
        {"loss": "3.0", "cls": "3.0", "acc": "5.0"},
    ]
    assert [one["a_loss_that_one_process_leaves_out"] for one in told] == [expected, expected]


def test_what_one_process_finds_out_all_know(told: Told) -> None:
    refused = "InvalidDataError: no images"
    for rank, one in enumerate(told):
        assert one["what_the_first_knows"] == ["of process 0", refused, refused, f"in process {rank}", refused]


def test_the_first_may_work_for_longer_than_a_collective(told: Told) -> None:
    assert [one["the_first_may_work_for_longer_than_a_collective"] for one in told] == [
        ["done", "done"],
        ["done", "quick"],
    ]


def test_an_error_is_told_once(told: Told) -> None:
    first, second = (one["errors_of_all_of_one_and_of_each"] for one in told)
    assert first[0] == "UsageError: all alike"
    assert second[0] == "ReportedElsewhereError: all alike"
    assert first[1].startswith("ReportedElsewhereError: lost the connection to another process")
    assert second[1] == "ProcessError: rank 1 of 2: alone"
    assert (first[2], second[2]) == ("ProcessError: rank 0 of 2: mine, 0", "ProcessError: rank 1 of 2: mine, 1")


def test_a_process_that_dies_ends_the_other(told: Told) -> None:
    assert told[0]["a_process_that_dies"].startswith("OpanasError: lost the connection to another process of this run")
    assert told[0]["a_process_that_dies"].endswith("continue with --resume")


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("unknown option", 2, "No such option '--frob'"),
        ("unknown config", 3, "no-such-config: no such config file"),
        ("one device", 2, "--device: 'cuda:0' is one device for several processes"),
        ("evolve again", 2, "a search already exists; add --resume"),
    ],
)
def test_the_first_process_tells_what_all_meet(told: Told, name: str, code: int, said: str) -> None:
    first, second = (one["commands"][name] for one in told)
    assert second == [code, "", ""]
    assert first[:2] == [code, ""]
    (line,) = [line for line in first[2].splitlines() if not line.startswith("checking ")]
    assert line.startswith("opanas: ")
    assert said in line


@pytest.mark.parametrize(("name", "file"), [("train-supernet", "supernet.pth"), ("retrain", "detector.pth")])
def test_training_speaks_and_writes_once(told: Told, folder: Path, name: str, file: str) -> None:
    first, second = (one["commands"][name] for one in told)
    assert second == [0, "", ""]
    assert first[0] == 0
    assert str(folder / "work" / file) in first[1]
    assert "warning" not in first[2]
    assert len(list((folder / "work" / name).glob("*/*.log"))) == 1


def test_a_training_of_two_processes_goes_on_where_it_was_stopped(told: Told) -> None:
    assert [one["a_training_that_was_stopped_goes_on"] for one in told] == [[0, 1, 0, True], [0, 1, 0]]


def test_what_several_processes_trained_one_reads(told: Told, folder: Path) -> None:
    """No name tells that there was a wrapper, and an epoch has half as many steps as with one process."""
    content = read_super_net(folder / "work" / "supernet.pth")
    assert content["meta"]["steps"] == 1
    assert all(name.startswith(("backbone", "neck", "rpn_head", "roi_head")) for name in content["state_dict"])


def test_what_several_processes_watched_one_sees(told: Told, folder: Path, tiny_options: tuple[str, ...]) -> None:
    content = read_super_net(folder / "work" / "supernet.pth")
    config = load_config("shapes", tiny_options)
    detector = build_detector(config)
    detector.load_state_dict(content["state_dict"])
    rng = np.random.default_rng(0)
    genotypes = [sample(search_space(config), rng) for _ in range(3)]
    metrics = held_out_evaluator(config, detector, torch.device("cpu")).evaluate(genotypes)
    (watched,) = content["meta"]["watched"]
    assert watched["mean_AP"] == sum(one.metrics["AP"] for one in metrics) / 3 > 0


@pytest.mark.usefixtures("still_clock")
def test_a_search_by_two_processes_is_that_of_one(
    told: Told, folder: Path, tmp_path: Path, tiny_options: tuple[str, ...]
) -> None:
    first, second = (one["commands"]["evolve"] for one in told)
    assert second == [0, "", ""]
    assert first[0] == 0
    super_net = str(folder / "work" / "supernet.pth")
    given = ["--device", "cpu", "--work-dir", str(tmp_path), "-q", *EVOLVE]
    assert run(["evolve", "shapes", super_net, *given, "--cfg-options", *tiny_options]) == 0
    for name in ("history.jsonl", "best.json", "population.json"):
        assert (folder / "work" / name).read_bytes() == (tmp_path / name).read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.json", "history.jsonl", "population.json"]


def test_a_group_needs_torchrun(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    assert run(["retrain", "shapes"]) == 2
    assert capsys.readouterr().err == (
        "opanas: WORLD_SIZE asks for several processes, but RANK is not set; start them with torchrun\n"
    )


def test_torchrun_starting_it_again_is_resuming(
    tiny_supernet: Path,
    tiny_options: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    line = ["train-supernet", "shapes", "--device", "cpu", "--work-dir", str(tiny_supernet.parent)]
    line += ["--cfg-options", *tiny_options]
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "0")
    assert run(line) == 2
    assert "add --resume" in capsys.readouterr().err
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert run(line) == 0
    assert "is already finished; nothing to do" in capsys.readouterr().err


@pytest.mark.parametrize("backend", ["nccl", "gloo"])
def test_an_error_waits_for_no_work_of_nccl(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """From torch 2.6 on, destroying a group would wait for processes that wait for this one."""
    for name, value in {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(group, "SECONDS_TO_AGREE", 0.1)
    left: list[str] = []
    destroy = torch_dist.destroy_process_group

    def leave(how: str) -> None:
        left.append(how)
        destroy()

    monkeypatch.setattr(torch_dist, "get_backend", lambda: backend)
    monkeypatch.setattr(torch_dist, "destroy_process_group", lambda: leave("destroyed"))
    monkeypatch.setattr(distributed_c10d, "_abort_process_group", lambda: leave("aborted"), raising=False)
    for error in (None, UsageError("no"), KeyboardInterrupt()):
        monkeypatch.setenv("MASTER_PORT", str(free_ports(1)))
        with contextlib.suppress(UsageError, KeyboardInterrupt), joined("cpu"):
            if error is not None:
                raise error
    on_error = "aborted" if backend == "nccl" else "destroyed"
    assert left == ["destroyed", on_error, on_error]
