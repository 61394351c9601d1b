"""What a candidate costs, and the limits that a search keeps to."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from opanas_cli.errors import UsageError
from opanas_cli.search.quantities import format_milliseconds, format_quantity


class Resource(str, Enum):
    """What a detector spends; the values are what users write."""

    MACS = "macs"
    PARAMS = "params"
    LATENCY = "latency"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Cost:
    """The size of a whole detector: multiply-adds of one image, parameters that are trained, and time for one image.

    `latency_ms` is None where it was not asked for.
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
            raise UsageError("latency counts in this search, but no latency table was measured")
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
    """So much of a resource, as ``199.2G MACs``: rounded up to four digits."""
    if resource is Resource.LATENCY:
        return f"{format_milliseconds(value)} of latency"
    return f"{format_quantity(int(value))} {'MACs' if resource is Resource.MACS else 'parameters'}"
