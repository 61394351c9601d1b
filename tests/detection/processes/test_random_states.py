"""The states of Python's, NumPy's and torch's generators."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from opanas_cli.detection.checkpoints import read_checkpoint, write_checkpoint
from opanas_cli.detection.processes.random_states import random_states, restore_random_states, seeded


def drawn() -> tuple[float, float, float, float]:
    return random.gauss(0, 1), float(np.random.rand()), float(np.random.randn()), float(torch.rand(()))  # noqa: NPY002


def test_what_is_restored_from_a_file_goes_on_as_before(tmp_path: Path) -> None:
    drawn()  # Leaves half of a pair of normal numbers in each state.
    write_checkpoint({"states": [random_states()]}, tmp_path / "s.pth")
    first = [drawn() for _ in range(3)]
    assert len(set(first)) == 3
    restore_random_states(read_checkpoint(tmp_path / "s.pth")["states"][0])
    assert [drawn() for _ in range(3)] == first


def test_a_seeded_block_repeats_itself_and_leaves_no_trace() -> None:
    restore_random_states(states := random_states())
    expected = [drawn(), drawn()]
    restore_random_states(states)
    got = [drawn()]
    with seeded(2**62 + 1):
        inside = drawn()
    with pytest.raises(ZeroDivisionError), seeded(3):
        assert drawn() != inside
        raise ZeroDivisionError
    got.append(drawn())
    assert got == expected
    with seeded(2**62 + 1):
        assert drawn() == inside


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_state_of_cuda() -> None:
    torch.rand((), device="cuda")
    states = random_states()
    first = torch.rand(5, device="cuda")
    restore_random_states(states)
    assert torch.equal(torch.rand(5, device="cuda"), first)
