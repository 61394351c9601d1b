"""Options that several commands share, spelled and behaving the same everywhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def seed_option(command: F) -> F:
    """``--seed N``."""
    return click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Random seed.")(
        command
    )


def work_dir_option(default: str) -> Callable[[F], F]:
    """``--work-dir DIR``, with the command's own default."""
    return click.option(
        "--work-dir",
        type=click.Path(file_okay=False, path_type=Path),
        default=default,
        show_default=True,
        help="Where everything is written.",
    )


def device_option(command: F) -> F:
    """``--device auto|cpu|cuda[:i]``."""
    return click.option(
        "--device", default="auto", show_default=True, metavar="auto|cpu|cuda[:i]", help="Where to compute."
    )(command)


def resume_option(command: F) -> F:
    """``--resume``."""
    return click.option("--resume", is_flag=True, help="Go on from what the work dir holds.")(command)


def cfg_options(command: F) -> F:
    """``--cfg-options KEY=VALUE…``, repeatable, each value in mmengine's syntax."""
    return click.option(
        "--cfg-options",
        multiple=True,
        metavar="KEY=VALUE",
        help="Override a setting of the config, as in mmdet's tools; may be repeated.",
    )(command)


def common_options(command: F) -> F:
    """``--json``, ``--debug`` and ``-q/--quiet``, which every command has."""
    for option in (
        click.option("-q", "--quiet", is_flag=True, help="Print the result only."),
        click.option("--debug", is_flag=True, help="Show the traceback of an error."),
        click.option("--json", "as_json", is_flag=True, help="Print one JSON document and nothing else."),
    ):
        command = option(command)
    return command
