"""How benchmarks measure: seconds and their limits, memory, multiply-adds, and the precision that a GPU computes in."""

from __future__ import annotations

import gc
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

PRECISIONS = ("float32", "tf32", "bfloat16")
"""bfloat16 is mixed precision, as by --amp; what stays in float32 there is not rounded to TF32."""


@contextmanager
def computing_in(precision: str) -> Iterator[None]:
    """Inside, float32 convolutions and matrix products on CUDA are rounded to TF32 if asked for, and only then.

    torch's own default is another: TF32 in convolutions only.
    """
    backends = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [backend.allow_tf32 for backend in backends]
    try:
        for backend in backends:
            backend.allow_tf32 = precision == "tf32"
        yield
    finally:
        for backend, allowed in zip(backends, before, strict=True):
            backend.allow_tf32 = allowed


def now(device: torch.device) -> float:
    """The time in seconds once the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def seconds_of(call: Callable[[], Any], device: torch.device) -> tuple[float, Any]:
    """How long a call takes, and its result."""
    start = now(device)
    result = call()
    return now(device) - start, result


@contextmanager
def peak_memory(device: torch.device) -> Iterator[dict[str, float]]:
    """The most memory, in 10**6 bytes, held while the block ran: of the GPU, or of the whole process (Linux)."""
    peak: dict[str, float] = {}
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        Path("/proc/self/clear_refs").write_text("5")
    yield peak
    if device.type == "cuda":
        peak["mb"] = torch.cuda.max_memory_allocated(device) / 1e6
    else:
        lines = Path("/proc/self/status").read_text().splitlines()
        peak["mb"] = next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmHWM"))


def multiply_adds(call: Callable[[], Any]) -> int:
    """Those of convolutions and matrix products in a call, counted as they run; only this thread's are seen."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with FlopCounterMode(display=False) as counter:
            call()
    finally:
        torch.set_num_threads(threads)
    # The counter's unit is one operation, two of which are a multiply-add.
    return counter.get_total_flops() // 2


class OutOfTimeError(BaseException):
    """The time is over. No handler of plain exceptions may keep it to itself."""


@contextmanager
def limited_to(seconds: float) -> Iterator[None]:
    """Raises OutOfTimeError in the block after so long, and every ten seconds from then on until the block ends."""

    def stop(*_: object) -> None:
        raise OutOfTimeError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds, 10)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def free(device: torch.device) -> None:
    """Give back the GPU's memory that nothing holds any more."""
    if device.type == "cuda":
        gc.collect()
        torch.cuda.empty_cache()
