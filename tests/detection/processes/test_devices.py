"""The device asked for."""

from __future__ import annotations

import pytest
import torch
from mmengine.device import get_device

from opanas_cli.detection.processes.devices import select_device, use_device
from opanas_cli.errors import UsageError


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Two CUDA devices, pretended; the list fills with those chosen."""
    chosen: list[int] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    return chosen


@pytest.mark.parametrize("name", ["cpu", "cuda:1"])
def test_mmengine_follows(name: str, two_gpus: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmengine.device.utils.DEVICE", "cuda")
    use_device(select_device(name))
    assert get_device() == name


def test_a_gpu_by_number(two_gpus: list[int]) -> None:
    assert select_device("cuda:1") == torch.device("cuda", 1)
    assert select_device("cuda") == torch.device("cuda", 0)
    assert select_device("auto") == torch.device("cuda", 0)
    assert two_gpus == [1, 0, 0]


def test_auto_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert select_device("auto") == torch.device("cpu")


@pytest.mark.parametrize("name", ["cuda:2", "cuda:", "cuda:-1", "gpu", "", "cpu:0"])
def test_no_such_device(name: str, two_gpus: list[int]) -> None:
    with pytest.raises(UsageError, match="--device: "):
        select_device(name)
    assert two_gpus == []


def test_each_of_several_processes_takes_a_gpu_of_its_own(two_gpus: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert select_device("auto") == select_device("cuda") == torch.device("cuda", 1)
    assert select_device("cpu") == torch.device("cpu")
    with pytest.raises(UsageError, match="'cuda:0' is one device for several processes"):
        select_device("cuda:0")
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(UsageError, match="3 processes, but only 2 CUDA devices; set torchrun's --nproc-per-node"):
        select_device("cuda")
