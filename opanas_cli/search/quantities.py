"""Quantities as users write them: counts with a suffix, and durations with a unit."""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, Context, Decimal

from opanas_cli.errors import UsageError

_SUFFIXES = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_MILLISECONDS = {"us": Decimal("0.001"), "ms": Decimal(1), "s": Decimal(1000)}
_NUMBER = r"(\d+\.?\d*|\.\d+)\s*"
_QUANTITY = re.compile(rf"{_NUMBER}([KMGT]?)", re.ASCII | re.IGNORECASE)
_DURATION = re.compile(rf"{_NUMBER}(us|ms|s)", re.ASCII | re.IGNORECASE)
_ROUND_UP = Context(prec=4, rounding=ROUND_CEILING)


def parse_quantity(text: str) -> int:
    """The number that `text` says: digits, decimals allowed, and a suffix K, M, G or T (powers of 1000).

    A fraction of one is dropped: as an upper limit on whole numbers it means the same.

    Raises:
        UsageError: `text` is not a positive quantity.
    """
    match = _QUANTITY.fullmatch(text.strip())
    value = int(Decimal(match[1]) * _SUFFIXES[match[2].upper()]) if match else 0
    if value < 1:
        raise UsageError(
            f"a quantity is a positive number, optionally with a suffix K, M, G or T, e.g. 197G, but got {text!r}"
        )
    return value


def parse_milliseconds(text: str) -> float:
    """The milliseconds that `text` says: digits, decimals allowed, and a unit us, ms or s.

    Raises:
        UsageError: `text` is not a positive duration.
    """
    match = _DURATION.fullmatch(text.strip())
    value = float(Decimal(match[1]) * _MILLISECONDS[match[2].lower()]) if match else 0.0
    if not 0 < value < float("inf"):
        raise UsageError(f"a duration is a positive number with a unit us, ms or s, e.g. 50ms, but got {text!r}")
    return value


def format_quantity(value: int) -> str:
    """`value` with a suffix and at most four digits, rounded up so that it can serve as a limit that `value` meets."""
    rounded = Decimal(value).normalize(_ROUND_UP)
    suffix = max((s for s in _SUFFIXES if _SUFFIXES[s] <= rounded), key=_SUFFIXES.__getitem__, default="")
    return f"{(rounded / _SUFFIXES[suffix]).normalize():f}{suffix}"


def format_milliseconds(value: float) -> str:
    """`value` with the unit ms and at most four digits, rounded up like `format_quantity`."""
    return f"{Decimal(str(value)).normalize(_ROUND_UP):f}ms"
