"""Backward passes on a thread of their own, beside the forward pass that comes next."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache

import torch


@contextmanager
def backward_thread(device: torch.device) -> Iterator[Callable[[Callable[[], None]], None]]:
    """What the block calls with a backward pass to run it, on the CPU while the block goes on; all end with the block.

    On the CPU half of torch's threads are left to the block and half are given to the backward passes: operations of a
    small network gain little from a second thread of their own. The passes run one after the other, in order, so that
    gradients add up in the same order every time. With one thread, or on another device, they run where they are
    called.

    Raises:
        Exception: what a backward pass raised.
    """
    threads = torch.get_num_threads()
    if device.type != "cpu" or threads < 2:
        yield lambda backward: backward()
        return
    running: list[Future[None]] = []

    def beside() -> None:
        while running:
            running.pop().result()

    def run(backward: Callable[[], None]) -> None:
        beside()  # One at a time, and no more than two graphs in memory.
        running.append(_thread().submit(_with_threads, threads // 2, backward))

    torch.set_num_threads(threads - threads // 2)
    try:
        yield run
        beside()
    finally:
        for future in running:
            future.exception()
        torch.set_num_threads(threads)


@cache
def _thread() -> ThreadPoolExecutor:
    """One for the process: torch keeps what it has prepared for an operation with the thread."""
    return ThreadPoolExecutor(1, "backward")


def _with_threads(threads: int, backward: Callable[[], None]) -> None:
    torch.set_num_threads(threads)
    backward()
