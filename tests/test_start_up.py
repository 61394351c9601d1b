"""What a process has loaded when it has answered a call for help."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from opanas_cli.commands import ALIASES, COMMANDS

HEAVY = {"torch", "torchvision", "mmdet", "mmengine", "mmcv", "networkx", "rich", "matplotlib", "scipy", "numpy"}

PROGRAM = """
import json, sys
from opanas_cli.commands import run
code = run(sys.argv[1:])
print(json.dumps([code, sorted({module.split('.')[0] for module in sys.modules})]))
"""


def answer(*arguments: str) -> tuple[str, int, set[str]]:
    """What the program prints, its exit code, and the packages it has loaded by then."""
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, encoding="utf-8", check=False
    )
    assert process.returncode == 0, process.stderr
    *lines, last = process.stdout.splitlines()
    code, loaded = json.loads(last)
    return "\n".join(lines) + process.stderr, code, set(loaded)


def test_help_lists_every_command_and_loads_nothing_heavy() -> None:
    text, code, loaded = answer("--help")
    assert code == 0
    assert all(command in text for command in COMMANDS)
    assert loaded & HEAVY == set()


@pytest.mark.parametrize("command", [*COMMANDS, *ALIASES])
def test_help_of_a_command_says_what_it_does_and_loads_nothing_heavy(command: str) -> None:
    text, code, loaded = answer(command, "--help")
    assert code == 0, text
    assert text.startswith(f"Usage: opanas {command}")
    assert "Example" in text
    assert loaded & HEAVY == set()


def test_viz_loads_no_torch() -> None:
    _, code, loaded = answer("viz", "opa-fpn")
    assert code == 0
    assert loaded & {"torch", "mmdet", "matplotlib"} == set()


SIGNALLED = """
import builtins, os, sys
number, module = int(sys.argv[1]), sys.argv[2]
sys.argv = ["opanas", "viz", "fpn"]
usual = builtins.__import__
def signalled(name, *more, **others):
    if name == module:
        builtins.__import__ = usual
        try:
            os.kill(os.getpid(), number)
        except BaseException:
            raise ImportError("no " + name)
    return usual(name, *more, **others)
builtins.__import__ = signalled
from opanas_cli.__main__ import main
main()
"""
"""A program that gets a signal while it imports a module, which takes it for a failure of its own."""


@pytest.mark.parametrize(
    ("number", "code", "said"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
@pytest.mark.parametrize("module", ["click", "opanas_cli.drawing"])
def test_signals_while_the_program_starts(module: str, number: int, code: int, said: str) -> None:
    command = [sys.executable, "-c", SIGNALLED, str(int(number)), module]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (process.returncode, process.stdout, process.stderr) == (code, "", f"opanas: {said}\n")


SIGNALLED_AT_THE_END = """
import atexit, os, sys
kind, number = sys.argv[1], int(sys.argv[2])
class Destroyed:
    def __del__(self):
        os.kill(os.getpid(), number)
if kind == "function":
    atexit.register(os.kill, os.getpid(), number)
else:
    kept = Destroyed()
sys.argv = ["opanas", "genotype", "validate", "fpn"]
from opanas_cli.__main__ import main
main()
"""
"""A program that gets a signal in a function which is called at its end, or when Python destroys all that is left."""


@pytest.mark.parametrize(
    ("number", "code", "said"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
@pytest.mark.parametrize("kind", ["function", "destructor"])
def test_signals_while_the_program_ends(kind: str, number: int, code: int, said: str) -> None:
    command = [sys.executable, "-c", SIGNALLED_AT_THE_END, kind, str(int(number))]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert process.stdout == "fpn: valid\n"
    expected = (code, f"opanas: {said}\n") if kind == "function" else (0, "")
    assert (process.returncode, process.stderr) == expected


def test_a_backend_of_matplotlib_that_is_not_here(tmp_path: Path) -> None:
    """Notebooks set one for all that they start."""
    command = [sys.executable, "-m", "opanas_cli", "viz", "fpn", "-o", str(tmp_path / "fpn.svg")]
    environment = {**os.environ, "MPLBACKEND": "nope"}
    process = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (process.returncode, process.stderr) == (0, "")
