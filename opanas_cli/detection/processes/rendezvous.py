"""How the processes of one start find each other: by a store in which no earlier start is heard."""

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

from opanas_cli.errors import OpanasError, ToldElsewhereError, UsageError

VARIABLES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")

PATIENCE = timedelta(minutes=30)
"""How long a process waits for the others to come."""

GRACE = timedelta(minutes=1)
"""How much longer those that came wait for the first one to report who did not."""

SECONDS_TO_TELL = 5.0
"""How long the others leave to the one that reports: torchrun ends all when one has ended."""


def meet() -> tuple[torch_dist.Store, int, int]:
    """A store that the processes of this start share, the rank of this one, and their number.

    Raises:
        UsageError: the environment describes no process group.
        OpanasError: they do not find each other.
        ToldElsewhereError: instead of both in all processes of a machine but the first, which raises them.
    """
    try:
        return _meet()
    except OpanasError as error:
        if os.environ.get("LOCAL_RANK", "0") in ("", "0"):
            raise
        time.sleep(SECONDS_TO_TELL)
        raise ToldElsewhereError(error) from error


def _meet() -> tuple[torch_dist.Store, int, int]:
    missing = [name for name in VARIABLES if not os.environ.get(name)]
    if missing:
        raise UsageError(f"several processes are asked for, but {missing[0]} is not set; start them with torchrun")
    try:
        with _without_log():
            store, rank, size = next(torch_dist.rendezvous("env://", timeout=PATIENCE))
        return torch_dist.PrefixStore(name_of_start(store, rank, size), store), rank, size
    except (RuntimeError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise OpanasError(
            f"rank {os.environ['RANK']} of {os.environ['WORLD_SIZE']}: cannot meet the other processes at "
            f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']} ({reason:.200}); start all of them, or choose "
            "another port"
        ) from error


def name_of_start(store: torch_dist.Store, rank: int, size: int, patience: timedelta = PATIENCE) -> str:
    """A name that this start of the processes has in all of them and no earlier start had.

    The store that torchrun keeps remembers what the processes wrote before they failed and were started again. So each
    process asks the first one by a question of its own, and the first one answers what it reads until all have heard.

    Raises:
        OpanasError: some have not come in time; in all that have.
    """
    own = uuid4().hex
    if rank == 0:
        name, late = own, ", ".join(map(str, _answer_all(store, own, size, patience)))
        store.set(f"{own}/late", late)
    else:
        store.set(f"question/{rank}", own)
        name = _word_of_first(store, f"answer/{own}", size, patience)
        store.set(f"{name}/heard/{rank}", "")
        late = _word_of_first(store, f"{name}/late", size, patience + GRACE)
    if late:
        raise _late(late, size, patience)
    return name


def _answer_all(store: torch_dist.Store, name: str, size: int, patience: timedelta) -> list[int]:
    """Tell the name to all that ask for it; those that have not heard it when patience ends are given back."""
    waiting = set(range(1, size))
    deadline = time.monotonic() + patience.total_seconds()
    while waiting and time.monotonic() < deadline:
        time.sleep(0.02)
        for other in (other for other in waiting if store.check([f"question/{other}"])):
            store.set(f"answer/{store.get(f'question/{other}').decode()}", name)
        waiting = {other for other in waiting if not store.check([f"{name}/heard/{other}"])}
    return sorted(waiting)


def _word_of_first(store: torch_dist.Store, key: str, size: int, patience: timedelta) -> str:
    try:
        store.wait([key], patience)
    except torch_dist.DistStoreError as error:
        raise _late("0", size, patience) from error
    word: str = store.get(key).decode()
    return word


def _late(ranks: str, size: int, patience: timedelta) -> OpanasError:
    which = f"ranks {ranks}" if "," in ranks else f"rank {ranks}"
    minutes = patience.total_seconds() / 60
    return OpanasError(f"{which} of {size} did not come within {minutes:.0f} minutes; see why not, and start all again")


@contextmanager
def _without_log() -> Iterator[None]:
    """While the block runs, what torch's C++ code writes to stderr is dropped: pages, where one line is enough."""
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
