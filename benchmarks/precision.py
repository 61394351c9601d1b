"""What benchmarks on a GPU compute in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

PRECISIONS = ("float32", "tf32", "bfloat16")
"""bfloat16 is mixed precision, as by --amp; what stays in float32 there is not rounded to TF32."""


@contextmanager
def computing_in(precision: str) -> Iterator[None]:
    """Inside, float32 convolutions and matrix products on CUDA are rounded to TF32 if asked for, and only then.

    torch's own default is another: TF32 in convolutions only.
    """
    backends = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [backend.allow_tf32 for backend in backends]
    try:
        for backend in backends:
            backend.allow_tf32 = precision == "tf32"
        yield
    finally:
        for backend, allowed in zip(backends, before, strict=True):
            backend.allow_tf32 = allowed
