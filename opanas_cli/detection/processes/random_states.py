"""The states of all random number generators of a process: Python's, NumPy's and torch's."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def random_states() -> dict[str, Any]:
    """The states as tensors and plain data, for `restore_random_states`; CUDA's if this process uses it."""
    name, keys, *rest = np.random.get_state(legacy=True)  # noqa: NPY002 (mmdet draws from it)
    states: dict[str, Any] = {
        "python": random.getstate(),
        "numpy": (str(name), torch.from_numpy(np.asarray(keys, dtype=np.int64)), *map(_plain, rest)),
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def restore_random_states(states: dict[str, Any]) -> None:
    """Make all generators continue from where `random_states` took them, CUDA's too if its state was taken."""
    version, words, gauss = states["python"]
    random.setstate((version, tuple(words), gauss))
    name, keys, *rest = states["numpy"]
    np.random.set_state((name, keys.cpu().numpy().astype(np.uint32), *rest))  # noqa: NPY002
    torch.set_rng_state(states["torch"].cpu())
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"].cpu())


@contextmanager
def random_states_kept() -> Iterator[None]:
    """Whatever the block draws, all generators continue from where they were."""
    states = random_states()
    try:
        yield
    finally:
        restore_random_states(states)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """While the block runs, all generators of the CPU follow from `seed`; afterwards they are as before."""
    with random_states_kept():
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        torch.default_generator.manual_seed(seed)
        yield


def _plain(value: Any) -> int | float:
    """A number of NumPy's state as one of Python, which every torch reads without unpickling."""
    return float(value) if isinstance(value, float) else int(value)
