"""How the processes of one start find each other, and what is reported if they do not."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from torch.distributed import HashStore

from opanas_cli.commands import run
from opanas_cli.detection.processes import rendezvous
from opanas_cli.detection.processes.rendezvous import meet, name_of_start
from opanas_cli.errors import OpanasError, ReportedElsewhereError

SOON = timedelta(seconds=0.5)


def test_a_start_finds_nothing_of_an_earlier_one() -> None:
    """torchrun's store keeps the questions and answers of processes that failed."""
    store = HashStore()
    names = [_names_of_a_start(store, (2, 0, 1)) for _ in range(3)]
    assert all(len(set(name)) == 1 for name in names)
    assert len({name[0] for name in names}) == 3


def test_the_first_knows_who_did_not_join_and_the_others_whether_it_did() -> None:
    first, third = _names_of_a_start(HashStore(), (0, 2), 4, SOON)
    late = "ranks 1, 3 of 4 did not join within 0 minutes; check their logs and restart all processes"
    assert first == f"OpanasError: {late}"
    assert not third.startswith("OpanasError")
    assert _names_of_a_start(HashStore(), (1,), 2, SOON)[0].startswith("OpanasError: rank 0 of 2 did not join")


def _names_of_a_start(
    store: HashStore, ranks: tuple[int, ...], size: int = 3, patience: timedelta = timedelta(minutes=1)
) -> list[str]:
    def ask(rank: int) -> str:
        try:
            return name_of_start(store, rank, size, patience)
        except OpanasError as error:
            return f"{type(error).__name__}: {error}"

    with ThreadPoolExecutor(len(ranks)) as threads:
        return list(threads.map(ask, ranks))


@pytest.fixture
def taken_port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(rendezvous, "SECONDS_TO_REPORT", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        given = {
            "RANK": "0",
            "LOCAL_RANK": "0",
            "WORLD_SIZE": "2",
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
        }
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        yield port


def test_a_taken_port_is_reported_in_a_line(taken_port: int, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["retrain", "shapes"]) == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(f"opanas: rank 0 of 2: cannot connect to the other processes at 127.0.0.1:{taken_port} (")
    assert "address already in use" in line
    assert line.endswith("; start all of them, or choose another port")


def test_one_process_of_a_machine_reports(
    taken_port: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOCAL_RANK", "1")
    with pytest.raises(ReportedElsewhereError, match="cannot connect"):
        meet()
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("MASTER_PORT", "none")
    assert run(["retrain", "shapes"]) == 2
    assert capfd.readouterr() == ("", "")
