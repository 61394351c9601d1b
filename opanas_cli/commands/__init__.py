"""The ``opanas`` program: a group whose commands are imported only when they run."""

from __future__ import annotations

import importlib
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from opanas_cli import __version__
from opanas_cli.atomic import NO_ROOM, cannot_write
from opanas_cli.commands.common.console import complain, joined, output, plain_warnings
from opanas_cli.commands.common.options import SuggestingGroup
from opanas_cli.commands.common.several_processes import forget_empty_numbers, is_follower
from opanas_cli.errors import OpanasError, ReportedElsewhereError
from opanas_cli.termination import Terminated, terminable

COMMANDS = {
    "quickstart": "Run every step on generated images, in minutes on a CPU.",
    "init": "Write a config for your own images, which fits a budget of time.",
    "search": "Train a super-net, search it and train the winner, in one go.",
    "train-supernet": "Train the super-net of a config by fair sampling.",
    "evolve": "Search a trained super-net for the best genotype.",
    "export": "Write a genotype as an mmdet config, or in another format.",
    "retrain": "Train a detector with a genotype from scratch and report its final AP.",
    "profile": "Count the parameters and multiply-adds of detectors, and time them.",
    "import-weights": "Convert a checkpoint of the released detectors.",
    "correlate": "Measure how well a super-net ranks genotypes.",
    "compare": "Train a genotype and others at the same cost, and say which is better.",
    "viz": "Draw genotypes.",
    "report": "Write one page of all that is in a work dir.",
    "data": "Say what a folder of images holds, and what training would make of it.",
    "doctor": "Say what this machine has, and what is wrong with it.",
    "genotype": "List, validate, show, convert and compare genotypes.",
}
"""Each command with its one-line help; command `a-b` is `a_b` in the module `opanas_cli.commands.a_b`."""

ALIASES = {"visualize": "viz"}

LONG = ("search", "train-supernet", "evolve", "retrain", "correlate", "compare")
"""Commands that can be resumed."""

INTERRUPTED = 130
TERMINATED = 128 + signal.SIGTERM

SECONDS_TO_REPORT = 2.0
"""How long the first of several processes has to report an error: torchrun ends all once one has ended."""


class Interrupted(BaseException):
    """The user pressed Ctrl-C."""


class LazyGroup(SuggestingGroup):
    """A group that knows its commands by name and imports the module of the one that is called."""

    aliases = ALIASES

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        name = self.aliases.get(cmd_name, cmd_name)
        if name not in COMMANDS:
            return None
        attribute = name.replace("-", "_")
        command = getattr(importlib.import_module(f"opanas_cli.commands.{attribute}"), attribute)
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            Path.cwd()
        except OSError as error:
            reason = f"the working directory no longer exists ({error.strerror}); change to another one"
            raise click.UsageError(reason) from error
        forget_empty_numbers()
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:  # click would print an empty line.
            raise Interrupted from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _version(ctx: click.Context, param: click.Parameter, asked: bool) -> None:
    """Print our version, and those of what decides results."""
    if not asked:
        return
    from opanas_cli.commands.doctor import installed

    others = ", ".join(f"{name} {installed(name) or 'missing'}" for name in ("torch", "mmdet"))
    click.echo(f"opanas {__version__} ({others})")
    ctx.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show versions.")
def cli() -> None:
    """Search feature pyramid networks for object detectors (OPANAS)."""


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code. Every error becomes that and a line on stderr here."""
    try:
        with plain_warnings(), terminable(), output():
            result: Any = cli.main(list(arguments), prog_name="opanas", standalone_mode=False)
    except (click.exceptions.Abort, KeyboardInterrupt, Interrupted):
        return _stopped("interrupted", arguments, INTERRUPTED)
    except Terminated:
        return _stopped("terminated", arguments, TERMINATED)
    except click.ClickException as error:
        if _is_reported_elsewhere(arguments):  # The first process has the same command line.
            time.sleep(SECONDS_TO_REPORT)
            return error.exit_code
        return _refuse(error)
    except ReportedElsewhereError as error:
        return error.exit_code
    except OpanasError as error:
        return _report(error, arguments, error.exit_code)
    except SystemExit:  # By click and rich, when nobody reads the output any more.
        return 1
    except OSError as error:
        full = error.errno in NO_ROOM
        return _report(cannot_write(error.filename or "output", error) if full else error, arguments, 1)
    except Exception as error:
        return _report(error, arguments, 1)
    return result if isinstance(result, int) else 0


def _stopped(how: str, arguments: Sequence[str], exit_code: int) -> int:
    if not _is_reported_elsewhere(arguments):
        if exit_code == INTERRUPTED and sys.stderr is not None and sys.stderr.isatty():
            click.echo(err=True)  # Ends the line with the ^C.
        complain(f"{how}{'; continue with --resume' if _is_long(arguments) else ''}")
    return exit_code


def _is_reported_elsewhere(arguments: Sequence[str]) -> bool:
    """Whether another process reports to the user. Clusters also number the processes of commands that run alone."""
    return _is_long(arguments) and is_follower()


def _is_long(arguments: Sequence[str]) -> bool:
    return bool(arguments) and arguments[0] in LONG


def _refuse(error: click.ClickException) -> int:
    """Print what click found wrong with a command line: in one line, not in click's three."""
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":  # Its message is the help; click has it from 8.2 on.
        error.show()
    elif context is None:
        complain(joined(error.format_message()))
    else:
        command = context.command_path.removeprefix("opanas").strip()
        message = joined(error.format_message()).rstrip(".")
        where = f"{command}: " if command else ""
        complain(f"{where}{message} (see {context.command_path} --help)")
    return error.exit_code


def _report(error: Exception, arguments: Sequence[str], exit_code: int) -> int:
    if "--debug" in arguments:
        traceback.print_exception(error)
    elif isinstance(error, OpanasError):
        complain(str(error))
    else:
        message = joined(str(error)) or "no message"
        complain(f"{type(error).__name__}: {message} (use --debug for the traceback)")
    return exit_code
