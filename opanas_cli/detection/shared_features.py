"""Running the heads of a detector on feature pyramids that were computed elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn


@contextmanager
def features_from(detector: nn.Module, pyramid: Callable[[], tuple[Tensor, ...]]) -> Iterator[None]:
    """While the block runs, `detector.extract_feat` is `pyramid()`: every mmdet detector asks it for its features."""

    def extract_feat(*_: Any, **__: Any) -> tuple[Tensor, ...]:
        return tuple(pyramid())

    detector.__dict__["extract_feat"] = extract_feat
    try:
        yield
    finally:
        del detector.__dict__["extract_feat"]
