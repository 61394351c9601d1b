"""Options that several commands share, spelled and behaving the same everywhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from opanas_cli.stage_settings import Check, settings_of
from opanas_cli.suggestions import suggestion

F = TypeVar("F", bound=Callable[..., Any])

CFG_OPTIONS = "--cfg-options"


class ConfigCommand(click.Command):
    """A command whose ``--cfg-options`` takes any number of ``KEY=VALUE``, as mmdet's tools do."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, spread_cfg_options(args))


def spread_cfg_options(args: list[str]) -> list[str]:
    """``--cfg-options A=1 B=2`` as ``--cfg-options A=1 --cfg-options B=2``."""
    spread: list[str] = []
    inside = False
    for arg in args:
        if inside and "=" in arg and not arg.startswith("-"):
            if spread[-1] != CFG_OPTIONS:
                spread.append(CFG_OPTIONS)
        else:
            inside = arg == CFG_OPTIONS
        spread.append(arg)
    return spread


def seed_option(command: F) -> F:
    """``--seed N``."""
    option = click.option(
        "--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Random seed."
    )
    return option(command)


def work_dir_option(command: F) -> F:
    """``--work-dir DIR``; see `chosen_work_dir` for the default."""
    return click.option(
        "--work-dir",
        type=click.Path(file_okay=False, path_type=Path),
        help="Where everything is written.  [default: runs/CONFIG]",
    )(command)


def chosen_work_dir(work_dir: Path | None, config: str) -> Path:
    """The folder asked for, or ``runs/`` and the config's name. Makes nothing.

    Raises:
        OpanasError: it is no folder, or cannot be made or written into.
    """
    from opanas_cli.atomic import require_writable

    chosen = work_dir or Path("runs") / Path(config).stem
    require_writable(chosen)
    return chosen


def device_option(command: F) -> F:
    """``--device auto|cpu|cuda[:i]``."""
    return click.option(
        "--device", default="auto", show_default=True, metavar="auto|cpu|cuda[:i]", help="Where to compute."
    )(command)


def checked_by(check: Check) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """A callback of an option whose value, if it is given, must pass a check."""

    def checked(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
        if value is not None and not check.holds(value):
            wanted = check.wanted.removesuffix(", or None")
            raise click.BadParameter(f"must be {wanted}, but got {value}")
        return value

    return checked


def setting_option(section: str, name: str) -> Callable[[F], F]:
    """The option ``--name`` for a setting of a config's section: its help and its check are the setting's own.

    It is None, or False for a switch, unless it is given.
    """
    declared = settings_of(section)[name]
    check, sentence = declared.metadata["check"], declared.metadata["sentence"]
    kind = str(declared.type).partition(" ")[0]
    what = sentence.replace("`", "").partition("; None")[0]
    text = f"{what[0].upper()}{what[1:]}."
    instead = "" if declared.default is None else f", else {declared.default}"
    option = "--" + name.replace("_", "-")
    if kind == "bool":
        return click.option(option, is_flag=True, help=f"{text}  [default: the config's]")
    return click.option(
        option,
        type={"int": int, "float": float}[kind],
        callback=checked_by(check),
        help=f"{text}  [default: the config's {section}.{name}{instead}]",
    )


def resume_option(command: F) -> F:
    """``--resume``."""
    return click.option("--resume", is_flag=True, help="Continue from what the work dir holds.")(command)


def cfg_options(command: F) -> F:
    """``--cfg-options KEY=VALUE…``; the command must be a `ConfigCommand`."""
    return click.option(
        CFG_OPTIONS, multiple=True, metavar="KEY=VALUE...", help="Override settings of the config, as in mmdet's tools."
    )(command)


def run_options(command: F) -> F:
    """What every command that trains or searches has: seed, device, resume, config overrides and the common options."""
    for option in (common_options, cfg_options, resume_option, device_option, seed_option):
        command = option(command)
    return command


def common_options(command: F) -> F:
    """``--json``, ``--debug`` and ``-q/--quiet``, which every command has."""
    for option in (
        click.option("-q", "--quiet", is_flag=True, help="Print the result only."),
        click.option("--debug", is_flag=True, help="Show the traceback of an error."),
        click.option("--json", "as_json", is_flag=True, help="Print one JSON document and nothing else."),
    ):
        command = option(command)
    return command


class SuggestingGroup(click.Group):
    """A group that says what a command that it has not may have meant."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            known = self.list_commands(ctx)
            hint = suggestion(name, known, f"there are {', '.join(known)}")
            raise click.UsageError(f"No such command '{name:.64}'; {hint}", ctx)
        return super().resolve_command(ctx, args)
