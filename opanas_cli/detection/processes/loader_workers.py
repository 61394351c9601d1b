"""Worker processes of a loader, which a signal to all processes of a run must not end before the run is saved.

torchrun, Slurm and terminals signal more than the process that trains, and torch raises an error in the middle of its
step when a worker is gone.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

WorkerInit = Callable[[int], Any]


def outliving_sigterm(then: WorkerInit | None = None) -> WorkerInit:
    """A ``worker_init_fn`` of a DataLoader, whose workers SIGTERM ends only if it comes from their parent.

    They still end with the parent, however it ends: torch's workers look every few seconds whether it lives. Where the
    system does not tell who sent a signal (macOS, Windows) nothing changes.

    Args:
        then: another ``worker_init_fn`` to call.
    """
    return partial(_begin, then)


def _begin(then: WorkerInit | None, worker: int) -> None:
    if hasattr(signal, "sigwaitinfo"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    if then is not None:
        then(worker)


def _end_with(parent: int) -> None:
    # Not ignored altogether: a parent that ends joins the workers that it told to end.
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)
