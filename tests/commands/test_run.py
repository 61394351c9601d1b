"""The one place where what goes wrong becomes a line and an exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import click
import pytest

from opanas_cli import commands
from opanas_cli.commands import run
from opanas_cli.commands.common.several_processes import SeveralProcessesCommand
from opanas_cli.errors import OpanasError
from opanas_cli.formats.registry import FORMATS

Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["evolv"], "opanas: No such command 'evolv'; did you mean 'evolve'? (see opanas --help)"),
        (["visualise"], "opanas: No such command 'visualise'; did you mean 'visualize'? (see opanas --help)"),
        (["vizz", "opa-fpn"], "opanas: No such command 'vizz'; did you mean 'viz'? (see opanas --help)"),
        (
            ["genotype", "lst"],
            "opanas: genotype: No such command 'lst'; did you mean 'list'? (see opanas genotype --help)",
        ),
        (["retrain"], "opanas: retrain: Missing argument 'CONFIG' (see opanas retrain --help)"),
        (["genotype", "show"], "opanas: genotype show: Missing argument 'GENOTYPE' (see opanas genotype show --help)"),
        (
            ["evolve", "shapes", "s.pth", "--top-k", "0"],
            "opanas: evolve: Invalid value for '--top-k': must be a whole number of at least 1, but got 0 "
            "(see opanas evolve --help)",
        ),
        (["export", "fpn"], "opanas: export: Missing option '--to' (see opanas export --help)"),
    ],
)
def test_wrong_command_lines_are_refused_in_one_line(arguments: list[str], line: str, capsys: Capture) -> None:
    assert run(arguments) == 2
    assert capsys.readouterr() == ("", f"{line}\n")


def test_an_unknown_option_is_one_line(capsys: Capture) -> None:
    assert run(["viz", "--nope"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("opanas: viz: No such option")  # How click goes on depends on its version.
    assert line.endswith(" (see opanas viz --help)")


def test_a_choice_is_one_line_too(capsys: Capture) -> None:
    assert run(["export", "fpn", "--to", "mmdet-config", "--schedule", "3x"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("opanas: export: Invalid value for '--schedule': '3x' is not one of '1x', '2x-ms'")


def test_a_command_like_no_other_is_answered_with_all(capsys: Capture) -> None:
    assert run(["xyz"]) == 2
    assert capsys.readouterr().err.startswith(
        "opanas: No such command 'xyz'; the commands are quickstart, init, search, train-"
    )


@pytest.mark.parametrize("kind", [OpanasError, ValueError, click.UsageError])
def test_no_error_fills_the_terminal(kind: type[Exception], monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    def fail(*_: object, **__: object) -> None:
        raise kind(f"a.json: {'x' * 7000}; the way out")

    monkeypatch.setattr(commands.cli, "main", fail)
    run(["viz"])
    line = capsys.readouterr().err
    assert line.startswith("opanas: ")
    assert "a.json: xxx" in line
    assert "the way out" in line
    assert "more characters] xxx" in line
    assert len(line) < 1100


def test_a_working_directory_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert run(["train-supernet", "shapes"]) == 2
    line = "opanas: the working directory no longer exists (No such file or directory); change to another one\n"
    assert capsys.readouterr() == ("", line)


@pytest.mark.parametrize("arguments", [["viz", "fpn"], ["genotype", "list"], ["--help"]])
def test_output_that_is_closed_is_lost_with_an_error(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr("sys.stdout", None)
    assert run(arguments) == 1
    assert capsys.readouterr().err.startswith("opanas: stdout: is closed, so the result cannot be printed; ")


@pytest.mark.parametrize("arguments", [["viz", "fpn"], ["genotype", "list"], ["--help"]])
def test_output_that_nobody_reads_any_more(arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    process = subprocess.run(
        [sys.executable, "-m", "opanas_cli", *arguments], stdout=writing, stderr=subprocess.PIPE, check=False
    )
    os.close(writing)
    assert (process.returncode, process.stderr) == (1, b"")


def test_errors_keep_their_exit_code_where_stderr_is_full() -> None:
    with Path("/dev/full").open("wb") as full:
        process = subprocess.run([sys.executable, "-m", "opanas_cli", "viz", "nope"], stderr=full, check=False)
    assert process.returncode == 3


def test_a_terminal_that_says_it_has_no_columns(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setenv("COLUMNS", "0")
    assert run(["viz", "fpn"]) == 0
    assert capsys.readouterr().out.startswith("fpn\n")


@pytest.mark.parametrize("arguments", [[], ["genotype"]])
def test_no_command_is_a_call_for_help(arguments: list[str], capsys: Capture) -> None:
    assert run(arguments) in (0, 2)
    out, err = capsys.readouterr()
    assert (out + err).startswith("Usage: opanas")
    assert "Commands:" in out + err


def test_the_quickstart_is_for_one_process(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert run(["quickstart"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("opanas: quickstart: must run as a single process, but WORLD_SIZE is 2; start it")
    assert run(["quickstart", "--help"]) == 0
    assert run(["viz", "fpn", "-q"]) == 0


@pytest.mark.parametrize("processes", ["1", ""])
def test_one_process_is_not(processes: str, monkeypatch: pytest.MonkeyPatch, tmp_path: object, capsys: Capture) -> None:
    monkeypatch.setenv("WORLD_SIZE", processes)
    assert run(["retrain", "no-such-config", "--neck", "fpn"]) == 2
    assert "needs a genotype" in capsys.readouterr().err


def test_commands_that_work_alone_speak_in_every_process(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    """Clusters set these variables for all that they start."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(commands, "SECONDS_TO_REPORT", 0.0)
    assert run(["genotype", "show", "--bad"]) == 2
    assert capsys.readouterr().err.startswith("opanas: genotype show: No such option")
    assert run(["retrain", "--bad"]) == 2
    assert capsys.readouterr().err == ""


def test_the_commands_that_several_processes_share() -> None:
    with click.Context(commands.cli) as context:
        found = {name: commands.cli.get_command(context, name) for name in commands.COMMANDS}
    sharing = [name for name, command in found.items() if isinstance(command, SeveralProcessesCommand)]
    assert sharing == list(commands.LONG[:4]), "trainings of correlate and compare each take one process"


def test_a_broken_plug_in_is_one_line(plug_in: Callable[..., None], capsys: Capture) -> None:
    plug_in(FORMATS, EntryPoint("lost", "no_such_module_at_all:X", FORMATS.group))
    assert run(["genotype", "validate", "fpn"]) == 0
    out, err = capsys.readouterr()
    assert out == "fpn: valid\n"
    (line,) = err.splitlines()
    assert line.startswith("opanas: warning: ")
    assert "'lost'" in line
    assert ".py:" not in line
