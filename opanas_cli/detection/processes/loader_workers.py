"""Worker processes of a loader, which a signal to all processes of a run must not end before the run is saved.

torchrun, Slurm and terminals signal more than the process that trains, and torch raises an error in the middle of its
step when a worker has ended.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from torch.utils.data import DataLoader

WorkerInit = Callable[[int], Any]


class OutlivingLoader(DataLoader):
    """A DataLoader whose workers SIGTERM ends only if it comes from their parent.

    They still end with the parent, however it ends: torch's workers check every few seconds whether it is alive. If
    the system does not say who sent a signal (macOS, Windows), nothing changes.
    """

    def __init__(self, *arguments: Any, worker_init_fn: WorkerInit | None = None, **options: Any) -> None:
        super().__init__(*arguments, worker_init_fn=partial(_begin, worker_init_fn), **options)

    def __iter__(self) -> Any:
        """Batches as of a DataLoader, by workers that begin with SIGTERM blocked.

        Blocked by a worker itself, it would still end the threads that torch starts before it calls `worker_init_fn`.
        """
        if not hasattr(signal, "sigwaitinfo"):
            return super().__iter__()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        try:
            return super().__iter__()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(then: WorkerInit | None, worker: int) -> None:
    if hasattr(signal, "sigwaitinfo"):
        threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    if then is not None:
        then(worker)


def _end_with(parent: int) -> None:
    # Not ignored altogether: a parent that ends terminates its workers and joins them.
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)
