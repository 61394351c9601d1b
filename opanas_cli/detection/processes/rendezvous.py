"""How the processes of one start connect: by a store in which nothing of an earlier start is read."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import torch.distributed as torch_dist

from opanas_cli.errors import OpanasError, ReportedElsewhereError, UsageError

VARIABLES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")

PATIENCE = timedelta(minutes=30)
"""How long a process waits for the others to join."""

SECONDS_TO_REPORT = 5.0
"""How long the other processes leave to the one that reports an error: torchrun ends all when one has ended."""


def meet() -> tuple[torch_dist.Store, int, int]:
    """A store that the processes of this start share, the rank of this one, and their number.

    Raises:
        UsageError: the environment describes no process group.
        OpanasError: they do not connect.
        ReportedElsewhereError: instead of both in all processes of a machine but the first, which raises them.
    """
    try:
        return _meet()
    except OpanasError as error:
        if os.environ.get("LOCAL_RANK", "0") in ("", "0"):
            raise
        raise reported_elsewhere(error) from error


def reported_elsewhere(error: Exception) -> ReportedElsewhereError:
    """What to raise in place of an error that another process reports, which has had the time for it by then."""
    time.sleep(SECONDS_TO_REPORT)
    return ReportedElsewhereError(error)


def _meet() -> tuple[torch_dist.Store, int, int]:
    missing = [name for name in VARIABLES if not os.environ.get(name)]
    if missing:
        raise UsageError(
            f"WORLD_SIZE asks for several processes, but {missing[0]} is not set; start them with torchrun"
        )
    try:
        with _without_log():
            store, rank, size = next(torch_dist.rendezvous("env://", timeout=PATIENCE))
        return torch_dist.PrefixStore(name_of_start(store, rank, size), store), rank, size
    except (RuntimeError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise OpanasError(
            f"rank {os.environ['RANK']} of {os.environ['WORLD_SIZE']}: cannot connect to the other processes at "
            f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']} ({reason:.200}); start all of them, or choose "
            "another port"
        ) from error


def name_of_start(store: torch_dist.Store, rank: int, size: int, patience: timedelta = PATIENCE) -> str:
    """A name that this start of the processes has in all of them and no earlier start had.

    The store that torchrun keeps remembers what the processes wrote before they failed and were started again. So each
    process asks the first one by a question of its own, and the first one answers what it reads until all have heard.
    Raises OpanasError if some have not joined in time, in the first process, or the first has not, in others.
    """
    own = uuid4().hex
    if rank == 0:
        _answer_all(store, own, size, patience)
        return own
    store.set(f"question/{rank}", own)
    try:
        store.wait([f"answer/{own}"], patience)
    except torch_dist.DistStoreError as error:
        raise _late([0], size, patience) from error
    name = store.get(f"answer/{own}").decode()
    store.set(f"{name}/heard/{rank}", "")
    return name


def _answer_all(store: torch_dist.Store, name: str, size: int, patience: timedelta) -> None:
    """Give the name to all that ask for it, until all have heard it."""
    waiting = set(range(1, size))
    deadline = time.monotonic() + patience.total_seconds()
    while waiting:
        if time.monotonic() > deadline:
            raise _late(sorted(waiting), size, patience)
        time.sleep(0.02)
        for other in (other for other in waiting if store.check([f"question/{other}"])):
            store.set(f"answer/{store.get(f'question/{other}').decode()}", name)
        waiting = {other for other in waiting if not store.check([f"{name}/heard/{other}"])}


def _late(ranks: list[int], size: int, patience: timedelta) -> OpanasError:
    who = f"rank{'s' if len(ranks) > 1 else ''} {', '.join(map(str, ranks))} of {size}"
    minutes = patience.total_seconds() / 60
    return OpanasError(f"{who} did not join within {minutes:.0f} minutes; check their logs and restart all processes")


@contextmanager
def _without_log() -> Iterator[None]:
    """While the block runs, what torch's C++ code writes to stderr is dropped: one line is enough, not pages."""
    with contextlib.ExitStack() as stack:
        try:
            kept = os.dup(2)
        except OSError:  # There is no stderr.
            yield
            return
        stack.callback(os.close, kept)
        stack.callback(os.dup2, kept, 2)
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
