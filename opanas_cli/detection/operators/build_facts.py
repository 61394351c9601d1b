"""What mmcv's environment report asks its compiled code."""

from __future__ import annotations

import torchvision


def get_compiler_version() -> str:
    """The compiler of mmcv's operators: there is none, torchvision's stand in."""
    return f"none (operators of torchvision {torchvision.__version__})"


def get_compiling_cuda_version() -> str:
    """The CUDA toolkit that mmcv's operators were built with: none."""
    return "none"
