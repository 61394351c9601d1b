"""Building what a config describes: whatever goes wrong then is the config's fault, and is said so."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from contextlib import contextmanager

from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import nn

from opanas_cli.errors import InvalidConfigError, InvalidDataError, InvalidInputError, OpanasError

NO_IMAGE = re.compile("Cannot find valid image|always return None|should not get `None`")
"""What mmengine and mmdet say, in plain exceptions, if a pipeline gives None again and again."""


@contextmanager
def building(config: Config) -> Iterator[None]:
    """While the block builds what a config describes, what goes wrong is the config's fault.

    Raises:
        InvalidConfigError: instead of whatever mmengine and mmdet raise.
    """
    try:
        yield
    except InvalidInputError as error:
        raise type(error)(f"{config.filename}: {error}") from error
    except OpanasError:
        raise
    except Exception as error:
        # A KeyError quotes its message, and mmengine's registries raise those.
        reason = " ".join(str(error.args[0] if isinstance(error, KeyError) else error).split())
        raise InvalidConfigError(
            f"{config.filename}: cannot be built: {reason} ({type(error).__name__}; --debug shows where)"
        ) from error


@contextmanager
def loading(source: str) -> Iterator[None]:
    """While the block loads images, a pipeline that leaves out whatever it is given is reported as such.

    Args:
        source: where its settings come from.

    Raises:
        InvalidDataError: it does.
    """
    try:
        yield
    except Exception as error:
        if not NO_IMAGE.search(str(error)):
            raise
        raise InvalidDataError(
            f"{source}: the pipeline leaves out every image that it is given; correct its transforms, as the sizes of "
            "FilterAnnotations and RandomCrop, or the boxes of the images"
        ) from error


def build_detector(config: Config) -> nn.Module:
    """The detector of a config, its weights not initialised.

    Raises:
        InvalidConfigError: it cannot be built.
    """
    with building(config), DefaultScope.overwrite_default_scope("mmdet"):
        model: nn.Module = MODELS.build(copy.deepcopy(config.model))
    return model
