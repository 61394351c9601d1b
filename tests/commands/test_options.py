"""The options that commands share."""

from __future__ import annotations

from pathlib import Path

import pytest

from opanas_cli.commands.options import chosen_work_dir, spread_cfg_options
from opanas_cli.errors import OpanasError


@pytest.mark.parametrize(
    ("given", "spread"),
    [
        ([], []),
        (["c", "--cfg-options", "a=1"], ["c", "--cfg-options", "a=1"]),
        (
            ["--cfg-options", "a=1", "b=2", "c=3"],
            ["--cfg-options", "a=1", "--cfg-options", "b=2", "--cfg-options", "c=3"],
        ),
        (["--cfg-options", "a=1", "--seed", "3", "x=y"], ["--cfg-options", "a=1", "--seed", "3", "x=y"]),
        (["--cfg-options", "a=1", "config.py"], ["--cfg-options", "a=1", "config.py"]),
        (["--cfg-options", "a=1", "--cfg-options", "b=2"], ["--cfg-options", "a=1", "--cfg-options", "b=2"]),
        (["--cfg-options", "a=-1", "b=[1,2]"], ["--cfg-options", "a=-1", "--cfg-options", "b=[1,2]"]),
        (["a=1", "b=2"], ["a=1", "b=2"]),
    ],
)
def test_cfg_options_take_any_number(given: list[str], spread: list[str]) -> None:
    assert spread_cfg_options(given) == spread


def test_the_work_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert chosen_work_dir(None, "deep/coco.py") == Path("runs/coco")
    assert chosen_work_dir(Path("here"), "coco") == Path("here")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "runs").touch()
    with pytest.raises(OpanasError, match="runs/coco: cannot be written"):
        chosen_work_dir(None, "coco")
