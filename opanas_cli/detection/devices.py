"""The device that the user asks for."""

from __future__ import annotations

import os
import re

import torch

from opanas_cli.errors import UsageError


def select_device(name: str) -> torch.device:
    """The device called ``auto``, ``cpu``, ``cuda`` or ``cuda:i``, made the one that mmengine takes.

    Raises:
        UsageError: there is no such device here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cpu":
        # mmengine offers no other way to stay off a GPU that is there.
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        return torch.device("cpu")
    match = re.fullmatch(r"cuda(?::(\d+))?", name)
    if not match:
        raise UsageError(f"--device: expected auto, cpu, cuda or cuda:i, but got '{name}'")
    count = torch.cuda.device_count()
    index = int(match[1] or 0)
    if index >= count:
        raise UsageError(f"--device: '{name}' is not here ({count} CUDA devices found); use --device cpu or auto")
    torch.cuda.set_device(index)
    return torch.device("cuda", index)
