"""The program ``opanas``, also as ``python -m opanas_cli``: what must be so before anything heavy is imported."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

SAID = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}


def main() -> None:
    """Run the program and exit.

    A signal that comes before the first command runs, or after the last one, ends the process at once and in one line:
    an exception might be swallowed by what is imported then, or be shown with its traceback.
    """
    for number in SAID:
        if signal.getsignal(number) is not signal.SIG_IGN:  # As of what a shell runs in the background.
            signal.signal(number, _end)
    # Drawings need none, and one that notebooks set may not be here: matplotlib would refuse to be imported.
    os.environ["MPLBACKEND"] = "agg"
    from opanas_cli.commands import run

    sys.exit(run(sys.argv[1:]))


def _end(number: int, frame: FrameType | None) -> None:
    try:
        os.write(2, f"opanas: {SAID[signal.Signals(number)]}\n".encode())
    finally:
        os._exit(128 + number)


if __name__ == "__main__":
    main()
