"""The one place where a failure while a config is read or built, or its images are loaded, becomes an error of it."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import nn

from opanas_cli.detection.configs.parts import require_backbone
from opanas_cli.errors import (
    InvalidCheckpointError,
    InvalidConfigError,
    InvalidDataError,
    InvalidInputError,
    OpanasError,
)

NO_IMAGE = re.compile("Cannot find valid image|always return None|should not get `None`")
"""The messages of mmengine and mmdet, in plain exceptions, if a pipeline gives None again and again."""

SHAPES = re.compile("shapes? cannot be multiplied|channels|shape mismatch|size mismatch|[Ss]izes? of tensor")
"""The messages of torch, in plain RuntimeErrors, if the layers of a network do not fit each other."""

FINEST_STRIDE = 4
"""That of the finest feature map of the usual backbones, in pixels."""

_MISSING = (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError)
_OF_THE_MACHINE = (OpanasError, MemoryError, torch.cuda.OutOfMemoryError)


@contextmanager
def config_errors(source: Any, what: str, runtime_errors: bool = True) -> Iterator[None]:
    """While the block reads or builds what a config describes, errors of libraries raise InvalidConfigError.

    Full disks, lost connections and memory that runs out are not errors of the config. A pipeline that gives no image
    raises InvalidDataError.

    Args:
        source: where the settings come from.
        what: what the message says of it, such as ``cannot be built``.
        runtime_errors: whether each `RuntimeError` is an error of the config, and not only that of `SHAPES`. torch
            raises it for devices and for other processes, too.
    """
    try:
        with loading(source):
            yield
    except Exception as error:
        if not _is_config_error(error, runtime_errors):
            raise
        reason = f"{reason_of(error)} ({type(error).__name__}; use --debug for the traceback)"
        raise InvalidConfigError(f"{source}: {what}: {reason}") from error


@contextmanager
def loading(source: Any) -> Iterator[None]:
    """While the block loads images, a pipeline of `source` that drops every image raises InvalidDataError."""
    try:
        yield
    except Exception as error:
        if not NO_IMAGE.search(str(error)):
            raise
        raise InvalidDataError(
            f"{source}: the pipeline drops every image; correct its transforms, such as the sizes of FilterAnnotations "
            "and RandomCrop, or the boxes of the images"
        ) from error


@contextmanager
def building(config: Config) -> Iterator[None]:
    """While the block builds what a config describes, its errors raise InvalidInputError with the config's name."""
    try:
        with config_errors(config.filename, "cannot be built"):
            yield
    except InvalidCheckpointError:
        raise
    except InvalidInputError as error:
        if str(error).startswith(f"{config.filename}: "):
            raise
        raise type(error)(f"{config.filename}: {error}") from error


def images_of(loader: Any, source: Any) -> Iterator[Any]:
    """The batches of a loader, whose workers start now; what its pipeline raises becomes InvalidInputError."""
    with config_errors(source, "its images cannot be loaded", runtime_errors=False):
        batches = iter(loader)
    return _each(batches, source)


def _each(batches: Iterator[Any], source: Any) -> Iterator[Any]:
    end = object()
    while True:
        with config_errors(source, "its images cannot be loaded", runtime_errors=False):
            batch = next(batches, end)
        if batch is end:
            return
        yield batch


def require_finest_stride(config: Config, what: str) -> None:
    """Raise InvalidConfigError unless the backbone's finest map has `FINEST_STRIDE`, which something relies on."""
    side = 64
    require_backbone(config)
    with building(config), DefaultScope.overwrite_default_scope("mmdet"), torch.no_grad():
        settings = {name: value for name, value in config.model.backbone.items() if name != "init_cfg"}
        backbone = MODELS.build(copy.deepcopy(settings))
        backbone.eval()  # mmdet's ResNet returns None.
        finest = side // backbone(torch.zeros(1, 3, side, side))[0].shape[-1]
    if finest != FINEST_STRIDE:
        raise InvalidConfigError(
            f"{config.filename}: {what}: needs a backbone whose finest feature map has a stride of {FINEST_STRIDE} "
            f"pixels, but that of model.backbone has {finest}"
        )


def build_detector(config: Config) -> nn.Module:
    """The detector of a config, its weights not initialised; raises InvalidConfigError if it cannot be built."""
    require_backbone(config)
    with building(config), DefaultScope.overwrite_default_scope("mmdet"):
        return MODELS.build(copy.deepcopy(config.model))


def reason_of(error: BaseException) -> str:
    """The message of a library's error, in one line; if it is from a loader's worker process, its last line."""
    # A KeyError quotes its message, and mmengine's registries raise those.
    text = str(error.args[0] if isinstance(error, KeyError) and error.args else error)
    if "Original Traceback" in text:
        text = text.strip().rpartition("\n")[2].removeprefix(f"{type(error).__name__}: ")
    return " ".join(text.split()) or "no message"


def _is_config_error(error: Exception, runtime_errors: bool) -> bool:
    if isinstance(error, OSError):
        return isinstance(error, _MISSING)
    if isinstance(error, RuntimeError) and not isinstance(error, (NotImplementedError, RecursionError)):
        return (runtime_errors or bool(SHAPES.search(str(error)))) and not isinstance(error, _OF_THE_MACHINE)
    return not isinstance(error, _OF_THE_MACHINE)
