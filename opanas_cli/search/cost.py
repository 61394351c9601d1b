"""What a candidate costs, and the limits that a search keeps to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import ROUND_CEILING, Context, Decimal
from enum import Enum

from opanas_cli.errors import UsageError

_SUFFIXES = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_MILLISECONDS = {"us": Decimal("0.001"), "ms": Decimal(1), "s": Decimal(1000)}
_NUMBER = r"(\d+\.?\d*|\.\d+)\s*"
_QUANTITY = re.compile(rf"{_NUMBER}([KMGT]?)", re.ASCII | re.IGNORECASE)
_DURATION = re.compile(rf"{_NUMBER}(us|ms|s)", re.ASCII | re.IGNORECASE)
_ROUND_UP = Context(prec=4, rounding=ROUND_CEILING)


def parse_quantity(text: str) -> int:
    """The number in `text`: digits, decimals allowed, and a suffix K, M, G or T (powers of 1000).

    A fraction of one is dropped: as an upper limit on whole numbers it means the same.

    Raises:
        UsageError: `text` is not a positive quantity.
    """
    match = _QUANTITY.fullmatch(text.strip())
    value = int(Decimal(match[1]) * _SUFFIXES[match[2].upper()]) if match else 0
    if value < 1:
        raise UsageError(
            f"expected a positive number, optionally with a suffix K, M, G or T, e.g. 197G, but got {text!r}"
        )
    return value


def parse_milliseconds(text: str) -> float:
    """The milliseconds in `text`: digits, decimals allowed, and a unit us, ms or s.

    Raises:
        UsageError: `text` is not a positive duration.
    """
    match = _DURATION.fullmatch(text.strip())
    value = float(Decimal(match[1]) * _MILLISECONDS[match[2].lower()]) if match else 0.0
    if not 0 < value < float("inf"):
        raise UsageError(f"expected a positive number with a unit us, ms or s, e.g. 50ms, but got {text!r}")
    return value


def format_quantity(value: int) -> str:
    """`value` with a suffix and at most four digits, rounded up so that it can serve as a limit that `value` meets."""
    rounded = Decimal(value).normalize(_ROUND_UP)
    suffix = max((s for s in _SUFFIXES if _SUFFIXES[s] <= rounded), key=_SUFFIXES.__getitem__, default="")
    return f"{(rounded / _SUFFIXES[suffix]).normalize():f}{suffix}"


def format_milliseconds(value: float) -> str:
    """`value` with the unit ms and at most four digits, rounded up like `format_quantity`."""
    return f"{Decimal(str(value)).normalize(_ROUND_UP):f}ms"


class Resource(str, Enum):
    """What a detector costs; the values are what users write."""

    MACS = "macs"
    PARAMS = "params"
    LATENCY = "latency"

    __str__ = str.__str__


@dataclass(frozen=True, slots=True)
class Cost:
    """The size of a whole detector: multiply-adds of one image, parameters that are trained, and time for one image.

    `latency_ms` is None if it was not asked for.
    """

    macs: int
    params: int
    latency_ms: float | None = None

    def of(self, resource: Resource) -> float:
        """How much of one resource, in its own unit.

        Raises:
            UsageError: the latency is asked for and not known.
        """
        if resource is Resource.MACS:
            return self.macs
        if resource is Resource.PARAMS:
            return self.params
        if self.latency_ms is None:
            raise UsageError("this search depends on the latency, but no latency table was measured")
        return self.latency_ms

    def document(self) -> dict[str, float]:
        """The cost as JSON-able values, without what is not known."""
        latency = {} if self.latency_ms is None else {"latency_ms": self.latency_ms}
        return {"macs": self.macs, "params": self.params, **latency}


@dataclass(frozen=True, slots=True)
class Constraints:
    """Upper limits, all inclusive; None is no limit."""

    max_macs: int | None = None
    max_params: int | None = None
    max_latency_ms: float | None = None

    def satisfied(self, cost: Cost) -> bool:
        """Whether `cost` is within every limit.

        Raises:
            UsageError: the latency is limited and not known.
        """
        return all(limit is None or cost.of(resource) <= limit for resource, limit in self._limits())

    def __str__(self) -> str:
        limits = [format_resource(resource, limit) for resource, limit in self._limits() if limit is not None]
        return " and ".join(f"at most {limit}" for limit in limits)

    def _limits(self) -> list[tuple[Resource, float | None]]:
        return list(zip(Resource, (self.max_macs, self.max_params, self.max_latency_ms), strict=True))


def format_resource(resource: Resource, value: float) -> str:
    """An amount of a resource, e.g. ``199.2G MACs``, rounded up to four digits."""
    if resource is Resource.LATENCY:
        return f"{format_milliseconds(value)} of latency"
    return f"{format_quantity(int(value))} {'MACs' if resource is Resource.MACS else 'parameters'}"
