"""The program ``opanas``, also as ``python -m opanas_cli``: what it sets up before anything heavy is imported."""

from __future__ import annotations

import atexit
import os
import signal
import sys
from contextlib import suppress
from types import FrameType

SAID = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}


def main() -> None:
    """Run the program and exit.

    A signal before the command runs, or after it, ends the process at once with one line: an exception might be
    swallowed by what is being imported, or be printed with its traceback. What Python does at the end, apart from the
    functions registered for it, is left out, since a signal would end that without a line.
    """
    for number in SAID:
        if signal.getsignal(number) is not signal.SIG_IGN:  # As a shell starts what it runs in the background.
            signal.signal(number, _end)
    # Drawings need no backend, and with one that is set but not installed matplotlib cannot be imported.
    os.environ["MPLBACKEND"] = "agg"
    from opanas_cli.commands import run

    exit_code = run(sys.argv[1:])
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError):  # It may be closed or full.
            stream.flush()
    os._exit(exit_code)


def _end(number: int, frame: FrameType | None) -> None:
    try:
        os.write(2, f"opanas: {SAID[signal.Signals(number)]}\n".encode())
    finally:
        os._exit(128 + number)


if __name__ == "__main__":
    main()
