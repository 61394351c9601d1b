"""What a process has loaded when it has answered a call for help."""

import json
import subprocess
import sys

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
