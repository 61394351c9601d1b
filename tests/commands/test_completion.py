"""Completion in real shells: what a shell offers after a part of a command."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = {
    "bash": """
source <(_OPANAS_COMPLETE=bash_source opanas)
COMP_WORDS=({words}) COMP_CWORD={last}
compopt() {{ :; }}
_opanas_completion opanas
printf '%s\\n' "${{COMPREPLY[@]}}"
""",
    "zsh": 'autoload -U compinit; compinit -D; eval "$(_OPANAS_COMPLETE=zsh_source opanas)"\n'
    "COMP_WORDS='{words}' COMP_CWORD={last} _OPANAS_COMPLETE=zsh_complete opanas",
    "fish": "_OPANAS_COMPLETE=fish_source opanas | source; complete --do-complete '{words}'",
}


@pytest.mark.parametrize("shell", SCRIPTS)
@pytest.mark.parametrize(
    ("words", "offered"),
    [("opanas ev", "evolve"), ("opanas evolve --strat", "--strategy"), ("opanas genotype sh", "show")],
)
def test_a_shell_completes_commands_and_options(shell: str, words: str, offered: str, tmp_path: Path) -> None:
    if (path := shutil.which(shell)) is None:
        pytest.skip(f"{shell} is not installed")
    program = tmp_path / "opanas"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m opanas_cli "$@"\n')
    program.chmod(0o755)
    script = SCRIPTS[shell].format(words=words, last=len(words.split()) - 1)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    done = subprocess.run([path, "-c", script], capture_output=True, text=True, env=environment, check=False)
    assert offered in done.stdout.split(), done.stdout + done.stderr
