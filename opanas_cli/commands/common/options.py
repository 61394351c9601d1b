"""Options that several commands share, and groups that suggest a name for a misspelt command."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import click

from opanas_cli.commands.common.console import Console
from opanas_cli.errors import UsageError
from opanas_cli.shipped import shipped_dir
from opanas_cli.stage_settings import LARGEST_SIDE, PART, SMALLEST_SIDE, Check, settings_of
from opanas_cli.suggestions import suggestion

Command = Callable[..., Any]
T = TypeVar("T")

CFG_OPTIONS_NAME = "--cfg-options"

JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON document and nothing else.")
DEBUG = click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error.")
QUIET = click.option("-q", "--quiet", is_flag=True, help="Print only the result.")
SEED = click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Random seed.")
DEVICE = click.option(
    "--device", default="auto", show_default=True, metavar="auto|cpu|cuda[:i]", help="Device to run on."
)
RESUME = click.option("--resume", is_flag=True, help="Resume the run in the work dir.")
SIDE = click.IntRange(SMALLEST_SIDE, LARGEST_SIDE)
IMAGE_SIZE = click.option(
    "--image-size",
    type=(SIDE, SIDE),
    metavar="WIDTH HEIGHT",
    help="Size of the image in pixels, width first.  [default: cost_input of CONFIG (height first), else 1280 800]",
)

NAME_OR_FILE = click.Path(readable=False)
"""A text that may be a file, so that the shell completes files. Nothing is checked."""

NECKS = ("fpn", "pafpn", "bfp", "nasfpn", "sepc", "bifpn")
"""The necks that others designed, by the names of `BASELINES`, which only mmdet's side knows."""

CFG_OPTIONS = click.option(
    CFG_OPTIONS_NAME,
    multiple=True,
    metavar="KEY=VALUE...",
    help="Override settings of the config, as in mmdet's tools.",
)


def output_option(help: str, required: bool = False) -> Callable[[Command], Command]:
    """The option ``-o/--output`` for a file to write."""
    kind = click.Path(dir_okay=False, path_type=Path)
    return click.option("-o", "--output", required=required, type=kind, metavar="FILE", help=help)


@dataclass(frozen=True)
class RunOptions:
    """What the user asks of a run; `cfg_options` override settings of the config."""

    work_dir: Path | None
    seed: int
    device: str
    cfg_options: tuple[str, ...]
    resume: bool = False

    def folder(self, config: str) -> Path:
        """The work dir asked for, or ``runs/`` and the config's name; OpanasError if it cannot be written to."""
        from opanas_cli.atomic import require_writable

        chosen = self.work_dir or Path("runs") / Path(config).stem
        require_writable(chosen)
        return chosen


def common_options(command: Command) -> Command:
    """``--json``, ``--debug`` and ``-q/--quiet``, which every command has; it is given a `Console` for them."""

    @wraps(command)
    def with_console(*, as_json: bool, quiet: bool, **others: Any) -> Any:
        return command(console=Console(quiet, as_json), **others)

    return JSON(DEBUG(QUIET(with_console)))


def run_options(work_dir: str = "runs/CONFIG", resume: bool = True) -> Callable[[Command], Command]:
    """The options of all that trains or searches, which is given a `Console` and its `RunOptions`.

    What was given for a `setting_option` comes after the other overrides of the config.

    Args:
        work_dir: the default, for the help.
        resume: whether there is ``--resume``.
    """
    place = click.option(
        "--work-dir",
        type=click.Path(file_okay=False, path_type=Path),
        help=f"Output directory.  [default: {work_dir}]",
    )

    def decorated(command: Command) -> Command:
        @wraps(command)
        def with_run(*, cfg_options: tuple[str, ...], **params: Any) -> Any:
            given = {name: params.pop(name) for name in list(params) if "__" in name}
            overrides = [f"{name.replace('__', '.')}={value}" for name, value in given.items() if value is not None]
            named = {name: params.pop(name) for name in ("work_dir", "seed", "device", "resume") if name in params}
            return command(run=RunOptions(cfg_options=(*cfg_options, *overrides), **named), **params)

        with_options = CFG_OPTIONS(common_options(with_run))
        return place(SEED(DEVICE(RESUME(with_options) if resume else with_options)))

    return decorated


def checked_by(check: Check) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """A callback of an option whose value, if it is given, must pass a check."""

    def checked(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
        if value is not None and not check.holds(value):
            wanted = check.wanted.removesuffix(", or None")
            raise click.BadParameter(f"must be {wanted}, but got {value}")
        return value

    return checked


SEARCH_SPLIT = click.option(
    "--search-split",
    type=float,
    callback=checked_by(PART),
    metavar="FRACTION",
    help="Fraction of the training images to evaluate on; 0 means the validation set.  [default: all held out]",
)


def limit(option: str, text: str | None, parse: Callable[[str], T]) -> T | None:
    """The value of an option that limits a cost, None if it is not given; UsageError if it is not one."""
    try:
        return None if text is None else parse(text)
    except UsageError as error:
        raise UsageError(f"{option}: {error}") from error


def limit_options(command: Command) -> Command:
    """``--max-macs``, ``--max-params`` and ``--max-latency`` of the detector; it is given `Constraints`."""

    @wraps(command)
    def with_constraints(*, max_macs: Any, max_params: Any, max_latency: Any, **others: Any) -> Any:
        from opanas_cli.search import Constraints, parse_milliseconds, parse_quantity

        constraints = Constraints(
            limit("--max-macs", max_macs, parse_quantity),
            limit("--max-params", max_params, parse_quantity),
            limit("--max-latency", max_latency, parse_milliseconds),
        )
        return command(constraints=constraints, **others)

    for name, kind, what in (
        ("latency", "DURATION", "latency per image of the detector, e.g. 50ms"),
        ("params", "QUANTITY", "parameters of the detector, e.g. 36M"),
        ("macs", "QUANTITY", "MACs of the detector, e.g. 197G"),
    ):
        with_constraints = click.option(f"--max-{name}", metavar=kind, help=f"Maximum {what}.")(with_constraints)
    return with_constraints


def setting_option(section: str, name: str, parameter: str | None = None) -> Callable[[Command], Command]:
    """The option ``--name`` for a setting of a config's section: its help and its check are the setting's own.

    Args:
        parameter: passes the value on by this name, instead of overriding the config with it; see `run_options`.
    """
    declared = settings_of(section)[name]
    what = re.sub(r"\[(.*?)\]\(.*?\)", r"\1", declared.metadata["sentence"]).replace("`", "").partition("; None")[0]
    kind = str(declared.type).partition(" ")[0]
    return click.option(
        "--" + name.replace("_", "-"),
        parameter or f"{section}__{name}",
        type={"int": int, "float": float, "bool": bool, "str": str}[kind],
        is_flag=kind == "bool",
        default=None,
        callback=checked_by(declared.metadata["check"]),
        help=f"{what[0].upper()}{what[1:]}.  [default: {section}.{name} of CONFIG{_values(section, name)}]",
    )


def _values(section: str, name: str) -> str:
    """What a setting is in the shipped configs and by default. Read as text: mmengine would take seconds to import."""
    pattern = re.compile(rf"^{section} = dict\(.*\b{name}=([^,)]+)", re.MULTILINE)
    texts = {path.stem: path.read_text(encoding="utf-8") for path in sorted(shipped_dir("configs").glob("*.py"))}
    values = [f"{found[1]} in {config}" for config, text in texts.items() if (found := pattern.search(text))]
    default = settings_of(section)[name].default
    if default not in (None, False):
        values.append(f"else {default}" if values else str(default))
    return f": {', '.join(values)}" if values else ""


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
            if spread[-1] != CFG_OPTIONS_NAME:
                spread.append(CFG_OPTIONS_NAME)
        else:
            inside = arg == CFG_OPTIONS_NAME
        spread.append(arg)
    return spread


class SuggestingGroup(click.Group):
    """A group that suggests the command that a misspelt name may have meant."""

    aliases: Mapping[str, str] = MappingProxyType({})

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            known = self.list_commands(ctx)
            hint = suggestion(name, [*known, *self.aliases], f"the commands are {', '.join(known)}")
            raise click.UsageError(f"No such command '{name:.64}'; {hint}", ctx)
        return super().resolve_command(ctx, args)
