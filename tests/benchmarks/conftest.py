"""Programs of benchmarks/, imported and run as if they had been started."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

PROGRAMS = Path(__file__).parents[2] / "benchmarks"
MODULES = [path.stem for path in PROGRAMS.glob("*.py")]

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Imports a program as if it had been started: its folder comes first on the path."""
    monkeypatch.syspath_prepend(str(PROGRAMS))
    for name in MODULES:
        monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module


@pytest.fixture
def document(
    program: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Runs a program with --json and reads what it prints."""

    def run(name: str, *arguments: object) -> dict[str, Any]:
        monkeypatch.setattr(sys, "argv", [f"{name}.py", "--json", *map(str, arguments)])
        capsys.readouterr()
        program(name).main()
        printed: dict[str, Any] = json.loads(capsys.readouterr().out)
        return printed

    return run


@pytest.fixture(scope="module")
def tiny(tiny_options: tuple[str, ...], tiny_supernet: Path, tmp_path_factory: pytest.TempPathFactory) -> list[object]:
    """The options that name a tiny config and its super-net."""
    from opanas_cli.detection.configs.files import load_config

    config = tmp_path_factory.mktemp("config") / "tiny.py"
    load_config("shapes", tiny_options).dump(config)
    return ["--config", config, "--supernet", tiny_supernet]
