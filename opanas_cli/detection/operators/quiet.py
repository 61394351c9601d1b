"""Silence while mmdet is imported."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Drop what the block prints or warns; errors pass. Afterwards every warning filter is as it was.

    Meant around imports of mmdet, mmcv and mmengine, which print and warn about optional packages and moved names.
    """
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
