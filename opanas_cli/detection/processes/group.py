"""Several processes that work as one run: torchrun starts them, the first prints and writes for all."""

from __future__ import annotations

import contextlib
import io
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import torch.distributed as torch_dist
from mmengine.dist import all_gather_object, barrier, broadcast_object_list, get_world_size, is_main_process
from torch.distributed import distributed_c10d

from opanas_cli.detection.processes.devices import select_device
from opanas_cli.detection.processes.presence import LostProcessError, present, wait_for_all
from opanas_cli.detection.processes.rendezvous import meet, reported_elsewhere
from opanas_cli.errors import OpanasError, ProcessError, ReportedElsewhereError

T = TypeVar("T")

TIMEOUT = timedelta(minutes=30)
"""How long a collective waits. For the work of one process alone, such as a check of data, others wait before it."""

SECONDS_TO_AGREE = 5.0
"""How long a process with an error waits to see whether the others have it too."""

LOST = "lost"


@contextmanager
def joined(device: str) -> Iterator[bool]:
    """While the block runs, this process is one of those that torchrun started, and all but the first print nothing.

    They communicate by gloo on the CPU and by NCCL on CUDA. An error in all processes is raised in the first one as it
    is; an error in some of them is raised in the lowest, with its rank. The block gets whether torchrun started the
    processes again after one had failed.

    Raises:
        UsageError: the environment describes no process group, or there are not as many devices as processes.
        OpanasError: the processes do not connect.
        ProcessError: some processes failed and others did not.
        ReportedElsewhereError: another process has the error too, and raises it.
    """
    with _silent() if os.environ.get("RANK", "0") != "0" else contextlib.nullcontext():
        store, rank, size = meet()
        with present(store, rank, size):
            try:
                target = select_device(device)
                torch_dist.init_process_group(
                    "nccl" if target.type == "cuda" else "gloo",
                    store=torch_dist.PrefixStore("group", store),
                    rank=rank,
                    world_size=size,
                    timeout=TIMEOUT,
                    device_id=target if target.type == "cuda" else None,
                )
                # Of several machines, only the one on which a process failed counts.
                restarts = all_gather_object(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))
                yield any(count != "0" for count in restarts)
                barrier()
                torch_dist.destroy_process_group()
            except Exception as error:
                raise _to_report(error, store, rank, size) from error
            finally:
                if torch_dist.is_initialized():  # Something went wrong.
                    _abandon_group()


def from_first(make: Callable[[], T]) -> T:
    """What `make` gives in the first process, in every process. The others do not call it.

    It must be picklable and small: it travels as a pickle, and on CUDA through the memory of every device. For a large
    file, pass on the path, and let each process read it with `in_each`. An OpanasError of `make` is raised in all.
    """
    shared = [_made(make) if is_main_process() else None]
    wait_for_all()
    broadcast_object_list(shared)
    return _unless_error(shared[0])


def once_per_machine(check: Callable[[], None]) -> None:
    """Call `check` in one process of each machine, while the others wait; an OpanasError is raised in all."""
    alone = get_world_size() == 1 or os.environ.get("LOCAL_RANK", "0") == "0"
    in_each(check if alone else lambda: None)


def in_each(make: Callable[[], T]) -> T:
    """What `make` gives in this process; all of them call it, and an OpanasError of one is raised in all."""
    made = _made(make)
    wait_for_all()
    for error in all_gather_object(made if isinstance(made, OpanasError) else None):
        _unless_error(error)
    return made


def _made(make: Callable[[], T]) -> T | OpanasError:
    try:
        return make()
    except OpanasError as error:
        return error


def _unless_error(made: T | OpanasError) -> T:
    if isinstance(made, OpanasError):
        raise made
    return made


def _abandon_group() -> None:
    """Leave the group at once, although others may wait in it for what will never come.

    torch from 2.6 on waits for NCCL's pending work when it destroys a group; before, it aborted that.
    """
    abort = getattr(distributed_c10d, "_abort_process_group", None)
    with contextlib.suppress(RuntimeError):  # What led here is the error to report.
        if abort is not None and torch_dist.get_backend() == "nccl":
            abort()
        else:
            torch_dist.destroy_process_group()


@contextmanager
def _silent() -> Iterator[None]:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


def _to_report(error: Exception, store: torch_dist.Store, rank: int, size: int) -> Exception:
    """The error to raise in this process, so that each failure is reported once.

    The processes compare their errors in the store, which outlives a process that fails: torchrun holds it.
    """
    try:
        if _is_lost_connection(error):
            return _of_lost_connection(store, size)
        text = f"{type(error).__name__}: {error}"
        store.set(f"error/{rank}", text)
        alike = _ranks_with(text, store, rank, size)
    except RuntimeError:  # The store itself has ended.
        alike = [rank]
    if alike[0] != rank:
        return reported_elsewhere(error)
    return error if len(alike) == size else ProcessError(f"rank {rank} of {size}", error)


def _ranks_with(text: str, store: torch_dist.Store, rank: int, size: int) -> list[int]:
    """The processes that failed with this text, once all have failed or have had the time to."""
    keys = [f"error/{other}" for other in range(size)]
    _wait_until(lambda: store.check(keys))
    errors = {other: store.get(key).decode() for other, key in enumerate(keys) if store.check([key])}
    store.add("read", 1)
    if rank == 0:  # Without torchrun the store is in this process, and ends with it.
        _wait_until(lambda: store.add("read", 0) >= len(errors))
    return [other for other, theirs in errors.items() if theirs == text]


def _wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS_TO_AGREE
    while time.monotonic() < deadline and not holds():
        time.sleep(0.05)


def _of_lost_connection(store: torch_dist.Store, size: int) -> Exception:
    """Of those that lost the connection the first reports it at once, unless another process reports the reason."""
    error = OpanasError(
        "lost the connection to another process of this run, which exited or whose machine is unreachable; continue "
        "with --resume"
    )
    known = any(store.check([f"error/{rank}"]) for rank in range(size))
    return ReportedElsewhereError(error) if known or store.add(LOST, 1) > 1 else error


def _is_lost_connection(error: Exception) -> bool:
    """Whether a collective failed because another process did; gloo raises a plain RuntimeError."""
    backend_error = getattr(torch_dist, "DistBackendError", LostProcessError)
    if isinstance(error, (LostProcessError, backend_error)):
        return True
    return isinstance(error, RuntimeError) and any(
        sign in str(error) for sign in ("gloo/transport", "Connection closed by peer", "Connection reset by peer")
    )
