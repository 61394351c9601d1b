"""One run at a time in a work dir."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from opanas_cli.commands.common.work_dir_lock import NAME, work_dir_lock
from opanas_cli.errors import OpanasError

HOLDER = """
import sys, time
from pathlib import Path
from opanas_cli.commands.common.work_dir_lock import _held
with _held(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_second_is_refused_and_told_who_is_there(tmp_path: Path) -> None:
    with work_dir_lock(tmp_path):
        with pytest.raises(OpanasError) as caught, work_dir_lock(tmp_path):
            pass
        assert caught.value.exit_code == 1
        assert f"{tmp_path}: process {os.getpid()} on " in str(caught.value)
        assert (tmp_path / NAME).exists()
        with work_dir_lock(tmp_path / "elsewhere"):
            pass
    assert list(tmp_path.iterdir()) == []
    with work_dir_lock(tmp_path):
        pass


def test_a_disk_that_is_full_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, *_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OpanasError, match="No space left on device"), work_dir_lock(tmp_path / "a" / "b"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_made_for_nothing_is_removed_again(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), work_dir_lock(tmp_path / "a" / "b"):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
    with work_dir_lock(tmp_path / "a" / "b"):
        (tmp_path / "a" / "b" / "kept").touch()
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["kept"]


def test_what_a_killed_run_left_half_written_is_removed(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    left = [tmp_path / ".part.supernet.abcdefgh.pth", tmp_path / "inner" / ".part.step_1.abcdefgh.pth"]
    for path in (*left, tmp_path / "supernet.pth", tmp_path / NAME):
        path.touch()
    with work_dir_lock(tmp_path):
        assert not any(path.exists() for path in left)
        assert (tmp_path / "supernet.pth").exists()


def test_the_lock_of_a_killed_process_is_free_even_if_its_worker_lives(tmp_path: Path) -> None:
    both = 'import os; os.write(1, b"held\\n" if os.fork() else b"worker\\n")'  # Each line at once.
    program = HOLDER.replace('print("held", flush=True)', both)
    process = subprocess.Popen(
        [sys.executable, "-c", program, tmp_path], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    try:
        assert {process.stdout.readline() for _ in range(2)} == {"held\n", "worker\n"}
        with pytest.raises(OpanasError, match=f"process {process.pid} on .* is running here"), work_dir_lock(tmp_path):
            pass
        process.kill()
        process.wait()
        acquire_within(5, tmp_path)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.stdout.close()


def acquire_within(seconds: float, folder: Path) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            with work_dir_lock(folder):
                return
        except OpanasError:
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_a_place_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OpanasError, match="cannot be written"), work_dir_lock(tmp_path / "file"):
        pass


def test_a_file_system_without_locks_is_warned_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(handle: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", none)
    with pytest.warns(UserWarning, match="has no locks .*; make sure that no other run"), work_dir_lock(tmp_path):
        pass


@pytest.mark.parametrize("command", ["train-supernet", "retrain", "evolve", "search", "quickstart"])
def test_every_command_that_trains_or_searches_takes_it(
    command: str, tiny_options: tuple[str, ...], tiny_supernet: Path, tmp_path: Path, refused: Callable[..., str]
) -> None:
    arguments = {
        "train-supernet": ["shapes"],
        "search": ["shapes"],
        "retrain": ["shapes", "--genotype", "top-down"],
        "evolve": ["shapes", tiny_supernet],
        "quickstart": [],
    }[command]
    with work_dir_lock(tmp_path / "run"):
        started = time.monotonic()
        said = refused(
            1,
            command,
            *arguments,
            "-q",
            "--work-dir",
            tmp_path / "run",
            "--device",
            "cpu",
            "--cfg-options",
            *tiny_options,
        )
        assert "is running here; wait until it has ended, or choose another --work-dir" in said
        assert time.monotonic() - started < 10
        assert [path.name for path in (tmp_path / "run").iterdir()] == [NAME]
