"""Commands under torchrun: those that several processes run together, and those for a single process."""

from __future__ import annotations

import os
from typing import Any

import click

from opanas_cli.commands.common.options import ConfigCommand

NUMBERS = ("WORLD_SIZE", "RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_PORT")
"""The variables by which torchrun numbers the processes that it starts, and which mmengine reads too."""


class SeveralProcessesCommand(ConfigCommand):
    """A command with ``--device`` and ``--resume`` that torchrun may start several times, to share its work.

    If torchrun starts it again after a failure, it resumes.
    """

    def invoke(self, ctx: click.Context) -> Any:
        _require_numbers(ctx)
        if num_processes() == 1:
            ctx.params["resume"] |= _number("TORCHELASTIC_RESTART_COUNT", 0) > 0
            return super().invoke(ctx)
        from opanas_cli.detection.processes.group import joined

        with joined(ctx.params["device"]) as restarted:
            ctx.params["resume"] |= restarted
            return super().invoke(ctx)


class OneProcessCommand(ConfigCommand):
    """A command that several processes must not run side by side: they would write the same files."""

    def invoke(self, ctx: click.Context) -> Any:
        _require_numbers(ctx)
        if num_processes() > 1:
            raise click.UsageError(
                f"must run as a single process, but WORLD_SIZE is {num_processes()}; start it without torchrun", ctx
            )
        return super().invoke(ctx)


def forget_empty_numbers() -> None:
    """Unset the variables that are set to nothing: libraries would take that for a number."""
    for variable in NUMBERS:
        if not os.environ.get(variable):
            os.environ.pop(variable, None)


def num_processes() -> int:
    """How many processes torchrun started."""
    return _number("WORLD_SIZE", 1)


def is_follower() -> bool:
    """Whether this process shares the work of another one, which reports to the user."""
    return num_processes() > 1 and _number("RANK", 0) > 0


def _require_numbers(ctx: click.Context) -> None:
    for variable in NUMBERS:
        value = os.environ.get(variable, "")
        if value and not value.isdecimal():
            raise click.UsageError(f"{variable} must be a whole number, but got '{value:.40}'; unset it", ctx)
    rank, size = _number("RANK", 0), num_processes()
    if size > 1 and rank >= size:
        raise click.UsageError(f"RANK must be below WORLD_SIZE, but got {rank} of {size}; start with torchrun", ctx)


def _number(variable: str, default: int) -> int:
    value = os.environ.get(variable, "")
    return int(value) if value.isdecimal() else default
