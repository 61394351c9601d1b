from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch

from opanas_cli.detection.training.backward_thread import backward_thread

CPU = torch.device("cpu")


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_passes_run_in_order_beside_the_block_which_waits_for_them() -> None:
    went_on = threading.Event()
    ran: list[int] = []

    def first() -> None:
        assert went_on.wait(10)
        ran.append(torch.get_num_threads())

    with backward_thread(CPU) as run:
        run(first)
        assert torch.get_num_threads() == 1
        went_on.set()
        for value in (2, 3):
            run(lambda value=value: ran.append(value))
    assert ran == [1, 2, 3]
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("more", [0, 1])
def test_what_a_pass_raises_is_raised_by_the_block(more: int) -> None:
    def fail() -> None:
        raise ValueError("no gradient")

    with pytest.raises(ValueError, match="no gradient"), backward_thread(CPU) as run:
        for pass_ in [fail, *[lambda: None] * more]:
            run(pass_)
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_a_block_that_fails_waits_for_its_pass() -> None:
    done: list[bool] = []
    release = threading.Event()

    def slow() -> None:
        release.wait(10)
        done.append(True)

    with pytest.raises(ValueError, match="forward"), backward_thread(CPU) as run:
        run(slow)
        threading.Timer(0.1, release.set).start()
        raise ValueError("forward")
    assert done == [True]
    assert torch.get_num_threads() == 2


def test_one_thread_runs_passes_where_they_are_called() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with backward_thread(CPU) as run:
        caller: list[threading.Thread] = []
        run(lambda: caller.append(threading.current_thread()))
        assert caller == [threading.current_thread()]
    torch.set_num_threads(before)
