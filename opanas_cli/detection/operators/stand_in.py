"""The module that takes the place of `mmcv._ext`, mmcv's compiled operators, if they are missing."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, NoReturn

from opanas_cli.detection.operators import deform_conv, focal_loss, nms, roi_align, soft_nms
from opanas_cli.detection.operators.kernels import MissingOperatorError
from opanas_cli.detection.quiet import quietly

MODULE = "mmcv._ext"


def get_compiler_version() -> str:
    """The compiler of mmcv's operators: none, since torchvision's stand in."""
    import torchvision  # At the top it would fail without the message of `kernels`.

    return f"none (operators of torchvision {torchvision.__version__})"


def get_compiling_cuda_version() -> str:
    """The CUDA toolkit that mmcv's operators were built with: none."""
    return "none"


OPERATORS: dict[str, Callable[..., Any]] = {
    operator.__name__: operator
    for operator in (
        get_compiler_version,
        get_compiling_cuda_version,
        deform_conv.deform_conv_backward_input,
        deform_conv.deform_conv_backward_parameters,
        deform_conv.deform_conv_forward,
        focal_loss.sigmoid_focal_loss_backward,
        focal_loss.sigmoid_focal_loss_forward,
        deform_conv.modulated_deform_conv_backward,
        deform_conv.modulated_deform_conv_forward,
        nms.nms,
        roi_align.roi_align_backward,
        roi_align.roi_align_forward,
        soft_nms.softnms,
    )
}
"""The operators that have a stand-in, by mmcv's name."""


def install() -> bool:
    """Make `mmcv._ext` importable; return whether the stand-in is in use. A compiled one that loads is left alone.

    Raises ImportError if mmcv is missing or cannot be imported.
    """
    with quietly():
        mmcv = importlib.import_module("mmcv")
    try:
        return isinstance(importlib.import_module(MODULE), StandIn)
    except ModuleNotFoundError as error:
        if error.name != MODULE:
            raise
    except (ImportError, OSError) as error:
        warnings.warn(
            f"mmcv's compiled operators do not load ({error}): torchvision's stand in for them; to use its own, "
            "build mmcv again with the torch that is installed",
            RuntimeWarning,
            stacklevel=2,
        )
    module = StandIn()
    sys.modules[MODULE] = module
    vars(mmcv)["_ext"] = module
    return True


class StandIn(ModuleType):
    """A module of `OPERATORS`; any other name is an operator that raises MissingOperatorError when it is called."""

    def __init__(self) -> None:
        super().__init__(MODULE, "Stand-in for mmcv's compiled operators, on torchvision and plain torch.")
        self.__spec__ = ModuleSpec(MODULE, loader=None)
        vars(self).update(OPERATORS)

    def __getattr__(self, name: str) -> Callable[..., NoReturn]:
        # mmcv checks at import that each operator exists, so they all must seem to
        if name.startswith("_"):
            raise AttributeError(f"module '{MODULE}' has no attribute '{name}'")

        def missing(*_: object, **__: object) -> NoReturn:
            raise MissingOperatorError(name)

        return missing
