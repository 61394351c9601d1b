"""What a candidate costs, and the limits that a search keeps to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import ROUND_CEILING, Context, Decimal

from opanas_cli.errors import UsageError

_SUFFIXES = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_QUANTITY = re.compile(r"(\d+\.?\d*|\.\d+)\s*([KMGT]?)", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Cost:
    """The size of a whole detector: multiply-adds of one image, and parameters that are trained."""

    macs: int
    params: int


@dataclass(frozen=True, slots=True)
class Constraints:
    """Upper limits, both inclusive; None is no limit."""

    max_macs: int | None = None
    max_params: int | None = None

    def satisfied(self, cost: Cost) -> bool:
        """Whether `cost` is within every limit."""
        macs_fit = self.max_macs is None or cost.macs <= self.max_macs
        return macs_fit and (self.max_params is None or cost.params <= self.max_params)

    def __str__(self) -> str:
        limits = [("MACs", self.max_macs), ("parameters", self.max_params)]
        return " and ".join(f"at most {format_quantity(limit)} {unit}" for unit, limit in limits if limit is not None)


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
            f"a quantity is a positive number, perhaps with a suffix K, M, G or T, as 197G, but got {text!r}"
        )
    return value


def format_quantity(value: int) -> str:
    """`value` with a suffix and at most four digits, rounded up so that it can serve as a limit that `value` meets."""
    rounded = Decimal(value).normalize(Context(prec=4, rounding=ROUND_CEILING))
    suffix = max((s for s in _SUFFIXES if _SUFFIXES[s] <= rounded), key=_SUFFIXES.__getitem__, default="")
    return f"{(rounded / _SUFFIXES[suffix]).normalize():f}{suffix}"
