"""The options that commands share."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from opanas_cli.commands.common.console import Console
from opanas_cli.commands.common.options import (
    ConfigCommand,
    RunOptions,
    run_options,
    setting_option,
    spread_cfg_options,
)
from opanas_cli.errors import OpanasError
from opanas_cli.stage_settings import settings_of


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
    assert RunOptions(None, 0, "cpu", ()).folder("deep/coco.py") == Path("runs/coco")
    assert RunOptions(Path("here"), 0, "cpu", ()).folder("coco") == Path("here")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "runs").touch()
    with pytest.raises(OpanasError, match="runs/coco: cannot be written"):
        RunOptions(None, 0, "cpu", ()).folder("coco")


@click.command(cls=ConfigCommand)
@setting_option("search", "generations")
@setting_option("search", "halving")
@setting_option("search", "top_k")
@setting_option("retrain", "amp", "amp")
@run_options()
def shown(amp: bool | None, run: RunOptions, console: Console) -> None:
    click.echo(f"{amp} {run.cfg_options} {run.seed} {run.resume} {console.quiet}")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "None () 0 False False"),
        ("--generations 0 --amp --cfg-options a=1 b=2 -q", "True ('a=1', 'b=2', 'search.generations=0') 0 False True"),
        ("--cfg-options search.top_k=2 --top-k 3", "None ('search.top_k=2', 'search.top_k=3') 0 False False"),
        ("--halving --seed 7 --resume", "None ('search.halving=True',) 7 True False"),
    ],
)
def test_settings_given_as_options_override_the_config(line: str, said: str) -> None:
    assert CliRunner().invoke(shown, line.split()).output == f"{said}\n"


@pytest.mark.parametrize("name", ["population", "generations", "top_k", "mutation_prob", "search_split"])
def test_help_shows_the_values_of_the_shipped_configs(name: str) -> None:
    pytest.importorskip("mmdet", reason="reads the configs")
    from mmengine.config import Config

    from opanas_cli.detection.configs.files import shipped_configs

    section = "supernet" if name == "search_split" else "search"
    read = {config: Config.fromfile(file).get(section, {}).get(name) for config, file in shipped_configs().items()}
    values = [f"{value} in {config}" for config, value in read.items() if value is not None]
    default = settings_of(section)[name].default
    expected = ", ".join([*values, f"else {default}" if values else str(default)])
    command = click.command(setting_option(section, name)(lambda: None))
    help_text = " ".join(command.get_help(click.Context(command)).split()).replace("- ", "-")
    assert f"[default: {section}.{name} of CONFIG: {expected}]" in help_text
