"""The device that the user chooses."""

from __future__ import annotations

import os
import re

import mmengine.device.utils
import torch

from opanas_cli.errors import UsageError


def select_device(name: str) -> torch.device:
    """The device called ``auto``, ``cpu``, ``cuda`` or ``cuda:i``; raises UsageError if it does not exist.

    Of several processes on a machine, each takes the CUDA device of its local rank.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cpu":
        return torch.device("cpu")
    match = re.fullmatch(r"cuda(?::(\d+))?", name)
    if not match:
        raise UsageError(f"--device: expected auto, cpu, cuda or cuda:i, but got '{name}'")
    count = torch.cuda.device_count()
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    if several and match[1]:
        raise UsageError(f"--device: '{name}' is one device for several processes; use --device cuda, cpu or auto")
    index = int(os.environ.get("LOCAL_RANK", "0")) if several else int(match[1] or 0)
    if several and index >= count:
        wanted = os.environ.get("LOCAL_WORLD_SIZE", "more")
        raise UsageError(
            f"--device: {wanted} processes, but only {count} CUDA devices; set torchrun's --nproc-per-node to {count}, "
            "or use --device cpu"
        )
    if index >= count:
        raise UsageError(f"--device: no device '{name}' ({count} CUDA devices found); use --device cpu or auto")
    torch.cuda.set_device(index)
    return torch.device("cuda", index)


def use_device(device: torch.device) -> None:
    """Make `device` the one that mmengine's runners use; on its own mmengine uses the first GPU."""
    mmengine.device.utils.DEVICE = str(device)
