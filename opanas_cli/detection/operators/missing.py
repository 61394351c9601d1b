"""The error that names an operator of mmcv which has no stand-in."""

from __future__ import annotations

from opanas_cli.errors import MissingDependencyError

COMPILED_MMCV = "pip install --force-reinstall --no-deps --no-cache-dir --no-build-isolation onedl-mmcv"
"""Builds mmcv against the torch that is installed, so that its own operators are compiled along."""


class MissingOperatorError(MissingDependencyError, NotImplementedError):
    """A detector calls an operator of mmcv that needs mmcv's compiled code."""

    def __init__(self, operator: str) -> None:
        super().__init__(
            f"mmcv's operator '{operator}' is compiled code that this mmcv was installed without, and opanas has no "
            f"stand-in for it: with a C++ compiler (and the CUDA toolkit for a GPU) `{COMPILED_MMCV}` builds it"
        )
        self.operator = operator
