"""What a run that was interrupted says and leaves, and that it goes on from there to the same end."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from without_spent import results_of

from opanas_cli.commands import run
from opanas_cli.detection.checkpoints import read_checkpoint
from opanas_cli.detection.training import supernet_training
from opanas_cli.detection.training.progress import ProgressHook
from opanas_cli.detection.training.resumable_loop import ResumableTrainLoop
from opanas_cli.detection.training.run_checkpoints import RunCheckpoints
from opanas_cli.detection.training.runner import ResumableRunner
from opanas_cli.search import History

Capture = pytest.CaptureFixture[str]
Refused = Callable[..., str]
STEPS = 5
OPTIONS = ("supernet.batch_size=1", "supernet.epochs=1", "supernet.data_fraction=0.6", "checkpoints.steps=1")


@pytest.fixture(scope="module", autouse=True)
def plain_configs(still_clock: None) -> Iterator[None]:
    """Half of the start of a run is to lay its config out prettily, several times."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("yapf.yapflib.yapf_api.FormatCode", lambda text, **_: (text, True))
        yield


@pytest.fixture
def train(tiny_options: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """The command line of a training in the folder ``run``, with overrides, and with options that have no value."""
    monkeypatch.chdir(tmp_path)

    def line(*more: str) -> list[str]:
        options = [option for option in more if option.startswith("-")]
        overrides = [option for option in more if not option.startswith("-")]
        begin = ["train-supernet", "shapes", "--work-dir", "run", "--device", "cpu", "-q", *options]
        return [*begin, "--cfg-options", *tiny_options, *OPTIONS, *overrides]

    return line


@pytest.fixture(scope="module")
def whole(tiny_options: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The super-net's file of that training, undisturbed."""
    folder = tmp_path_factory.mktemp("whole")
    begin = ["train-supernet", "shapes", "--work-dir", str(folder), "--device", "cpu", "-q"]
    assert run([*begin, "--cfg-options", *tiny_options, *OPTIONS]) == 0
    content = read_checkpoint(folder / "supernet.pth")
    assert content["meta"]["steps"] == STEPS
    return (folder / "supernet.pth").read_bytes()


@contextmanager
def at_step(number: int, act: Callable[[], Any]) -> Iterator[None]:
    """Do something in the middle of a step of the training."""
    original = ResumableTrainLoop.run_iter

    def run_iter(loop: ResumableTrainLoop, index: int, batch: Any) -> None:
        if loop.iter + 1 == number:
            act()
        original(loop, index, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ResumableTrainLoop, "run_iter", run_iter)
        yield


def interrupt() -> None:
    raise KeyboardInterrupt


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file can grow beyond so many bytes, as if the disk were full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def names() -> list[str]:
    return sorted(path.name for path in Path("run", "train-supernet").glob("*.pth"))


def path_of(step: int) -> Path:
    return Path("run", "train-supernet", f"step_{step:08}.pth")


def resumed(line: list[str], capsys: Capture) -> tuple[bytes, str]:
    """The super-net's file at the end of a run, and what was said on stderr."""
    capsys.readouterr()
    assert run([*line[:2], "--resume", *line[2:]]) == 0
    return Path("run", "supernet.pth").read_bytes(), capsys.readouterr().err


def test_ctrl_c(train: Any, whole: bytes, capsys: Capture) -> None:
    with at_step(3, interrupt):
        assert run(train()) == 130
    assert capsys.readouterr() == ("", "opanas: interrupted; continue with --resume\n")
    assert names() == ["step_00000001.pth", "step_00000002.pth"]
    assert [path.name for path in Path("run").iterdir()] == ["train-supernet"]
    assert resumed(train(), capsys) == (whole, "")
    assert names() == ["step_00000004.pth", "step_00000005.pth"]


def test_sigterm_saves_first(train: Any, whole: bytes, capsys: Capture) -> None:
    with at_step(3, lambda: os.kill(os.getpid(), signal.SIGTERM)):
        assert run(train("checkpoints.steps=None")) == 143
    assert capsys.readouterr() == ("", "opanas: terminated; continue with --resume\n")
    assert names() == ["step_00000003.pth"]
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert resumed(train(), capsys) == (whole, "")


def test_sigterm_to_all_processes_of_a_run(train: Any, whole: bytes, capsys: Capture) -> None:
    """As torchrun and Slurm send it: to the workers of the loader too."""

    def terminate() -> None:
        workers = [str(worker.pid) for worker in multiprocessing.active_children()]
        assert len(workers) == 1
        subprocess.run(["kill", "-TERM", *workers, str(os.getpid())], check=True)
        time.sleep(0.2)

    with at_step(3, terminate):
        assert run(train("checkpoints.steps=None", "train_dataloader.num_workers=1")) == 143
    assert capsys.readouterr() == ("", "opanas: terminated; continue with --resume\n")
    assert names() == ["step_00000003.pth"]
    assert resumed(train(), capsys) == (whole, "")


def test_an_error_of_a_run_that_was_told_to_end(train: Any, capsys: Capture) -> None:
    def fail() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        raise RuntimeError("DataLoader worker is killed by signal: Terminated.")

    with at_step(3, fail):
        assert run(train()) == 143
    assert capsys.readouterr() == ("", "opanas: terminated; continue with --resume\n")


def test_sigterm_in_what_ends_an_epoch(train: Any, whole: bytes, capsys: Capture) -> None:
    """A look at the sub-nets may take long, and is not waited for."""
    after = ProgressHook.after_train_epoch

    def look(hook: ProgressHook, runner: Any, metrics: Any = None) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        pytest.fail("was waited for")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ProgressHook, "after_train_epoch", look)
        assert run(train("checkpoints.steps=None")) == 143
    assert capsys.readouterr() == ("", "opanas: terminated; continue with --resume\n")
    assert names() == ["step_00000005.pth"]
    looks: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ProgressHook, "after_train_epoch", lambda hook, runner: looks.append(after(hook, runner)))
        assert resumed(train(), capsys) == (whole, "")
    assert len(looks) == 1


def test_sigterm_between_the_steps(train: Any, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setattr(ResumableRunner, "train", lambda runner: os.kill(os.getpid(), signal.SIGTERM))
    assert run(train()) == 143
    assert capsys.readouterr() == ("", "opanas: terminated; continue with --resume\n")


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (["checkpoints.steps=None", "checkpoints.minutes=None"], [5]),
        (["checkpoints.steps=2", "checkpoints.minutes=10"], [2, 4, 5]),
        (["checkpoints.steps=None", "checkpoints.minutes=1e-9"], [1, 2, 3, 4, 5, 5]),
        (["checkpoints.steps=3", "supernet.epochs=2"], [3, 5, 8, 10]),
    ],
)
def test_when_checkpoints_are_written(
    settings: list[str], expected: list[int], train: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[int] = []
    monkeypatch.setattr(RunCheckpoints, "save", lambda _, runner: saved.append(runner.train_loop.position["step"]))
    assert run(train(*settings)) == 0
    assert saved == expected


@pytest.mark.parametrize("how", ["truncated", "empty", "flipped"])
def test_a_broken_newest_checkpoint(how: str, train: Any, whole: bytes, capsys: Capture) -> None:
    with at_step(4, interrupt):
        assert run(train()) == 130
    newest = path_of(3)
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 0xFF
    kept = {"truncated": len(content) - 100, "empty": 0, "flipped": len(content)}[how]
    newest.write_bytes(content[:kept])
    result, said = resumed(train(), capsys)
    assert result == whole
    assert said.count("\n") == 1
    what = "is damaged at archive/data/" if how == "flipped" else "is truncated or not a checkpoint"
    assert said.startswith(f"opanas: warning: {newest}: {what}")
    assert said.endswith("resuming from step_00000002.pth, the one before it\n")
    assert names() == ["step_00000004.pth", "step_00000005.pth"]


def test_all_checkpoints_broken(train: Any, refused: Refused) -> None:
    with at_step(4, interrupt):
        assert run(train()) == 130
    for step in (2, 3):
        path_of(step).write_bytes(b"PK")
    line = refused(3, *train("--resume"))
    assert line.startswith("run/train-supernet: none of its 2 checkpoints can be read; start again in another --work-")
    assert names() == ["step_00000002.pth", "step_00000003.pth"]


def test_a_finished_run_is_left_as_it_is(train: Any, whole: bytes, refused: Refused, capsys: Capture) -> None:
    assert run(train()) == 0
    first = capsys.readouterr().out
    before = {path: path.stat().st_mtime_ns for path in Path("run").rglob("*")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(supernet_training, "build_runner", interrupt)
        assert run([part for part in train("--resume") if part != "-q"]) == 0
    out, err = capsys.readouterr()
    assert out == first
    assert "run/supernet.pth: is already finished; nothing to do\n" in err
    assert {path: path.stat().st_mtime_ns for path in Path("run").rglob("*")} == before
    assert "run/train-supernet: a training run already exists; add --resume to continue it" in refused(2, *train())
    harmless = ("train_dataloader.num_workers=1", "checkpoints.minutes=3", "log_level=ERROR")
    assert resumed(train(*harmless), capsys) == (whole, "")
    assert {path: path.stat().st_mtime_ns for path in Path("run").rglob("*")} == before
    Path("run", "supernet.pth").write_bytes(whole[:1000])
    assert resumed(train(), capsys) == (whole, "")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("--seed=3", "seed was 0 and is now 3"),
        ("supernet.lr=0.5", "optim_wrapper.optimizer.lr was 0.001 and is now 0.5"),
        ("supernet.batch_size=2", "train_dataloader.batch_size was 1 and is now 2"),
        ("supernet.data_fraction=1.0", "train_dataloader.dataset.data_fraction was 0.6 and is now 1.0"),
    ],
)
def test_another_run_is_refused(change: str, said: str, train: Any, refused: Refused) -> None:
    with at_step(2, interrupt):
        assert run(train()) == 130
    line = refused(2, *train("--resume", change))
    assert line.startswith(f"{path_of(1)}: belongs to a different run: {said}")
    assert line.endswith("; use its settings or another --work-dir")


def test_what_does_not_matter_may_change(train: Any, whole: bytes, capsys: Capture) -> None:
    with at_step(2, interrupt):
        assert run(train("train_dataloader.num_workers=1", "supernet.epochs=3")) == 130
    assert resumed(train(), capsys) == (whole, "")


def test_a_full_disk_at_a_checkpoint(train: Any, whole: bytes, refused: Refused, capsys: Capture) -> None:
    limits = largest_file(500_000)
    with at_step(3, limits.__enter__):
        line = refused(1, *train())
    limits.__exit__(None, None, None)
    assert line == f"{path_of(3)}: cannot be written (File too large); free some space and run again"
    assert names() == ["step_00000001.pth", "step_00000002.pth"]
    assert not list(Path("run").rglob(".*"))
    assert resumed(train(), capsys) == (whole, "")


@pytest.mark.parametrize("room", [0, 2000, 10_000])
def test_a_full_disk_at_the_log(room: int, train: Any, whole: bytes, refused: Refused, capsys: Capture) -> None:
    build = supernet_training.build_runner

    def limited(*arguments: Any) -> Any:
        with largest_file(room):
            return build(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(supernet_training, "build_runner", limited)
        line = refused(1, *train())
    assert str(Path("run", "train-supernet")) in line
    assert line.endswith("cannot be written (File too large); free some space and run again")
    assert resumed(train(), capsys) == (whole, "")


def test_a_full_disk_at_the_history(
    tiny_options: tuple[str, ...], tiny_supernet: Path, tmp_path: Path, refused: Refused
) -> None:
    def search(folder: Path, *more: str) -> list[str]:
        budget = ("--population", "3", "--generations", "0", "--top-k", "2", "--device", "cpu", "-q")
        line = ["evolve", "shapes", str(tiny_supernet), "--work-dir", str(folder), *budget, *more]
        return [*line, "--cfg-options", *tiny_options]

    append = History.append

    def limited(history: History, candidate: Any) -> None:
        # The first candidate fits, and half of the second.
        room = 150 if candidate.index == 1 else 10**6
        with largest_file((tmp_path / "run" / "history.jsonl").stat().st_size + room):
            append(history, candidate)

    assert run(search(tmp_path / "whole")) == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(History, "append", limited)
        line = refused(1, *search(tmp_path / "run"))
    history = tmp_path / "run" / "history.jsonl"
    assert line == f"{history}: cannot be written (File too large); free some space and run again"
    assert history.read_bytes().endswith(b"\n")
    assert len(history.read_text().splitlines()) == 2
    assert run(search(tmp_path / "run", "--resume")) == 0
    assert results_of(tmp_path / "run") == results_of(tmp_path / "whole")


def test_a_detector_that_was_not_tested_yet(
    tiny_options: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)

    def retrain(folder: str, *more: str) -> list[str]:
        line = ["retrain", "shapes", "--genotype", "top-down", "--work-dir", folder, "--device", "cpu", *more]
        return [*line, "--cfg-options", *tiny_options]

    assert run(retrain("whole")) == 0
    said = capsys.readouterr().out.replace("whole", "run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ResumableRunner, "test", lambda runner: interrupt())
        assert run(retrain("run")) == 130
    assert "metrics" not in read_checkpoint(Path("run", "detector.pth"))["meta"]
    assert run(retrain("run", "--resume")) == 0
    assert Path("run", "detector.pth").read_bytes() == Path("whole", "detector.pth").read_bytes()
    capsys.readouterr()
    assert run(retrain("run", "--resume")) == 0
    out, err = capsys.readouterr()
    assert out == said
    assert "run/detector.pth: is already finished; nothing to do\n" in err
