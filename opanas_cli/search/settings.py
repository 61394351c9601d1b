"""What decides the course of a search."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from opanas_cli.genotype import SearchSpace
from opanas_cli.search.cost import Constraints
from opanas_cli.search.strategies.strategy import StrategySettings


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """What two searches must share to be the same search.

    `evaluation` is whatever else the fitness depends on, as JSON-able values: the fingerprint of the super-net, the
    split, the number of images, the kind of device, and whatever else a ranking of close candidates depends on.
    """

    space: SearchSpace
    strategy: str = "evolution"
    budget: StrategySettings = field(default_factory=StrategySettings)
    seed: int = 0
    constraints: Constraints = field(default_factory=Constraints)
    metric: str = "AP"
    evaluation: Mapping[str, Any] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """The settings as JSON-able values, the same after a round trip through JSON; paths are their names."""
        text = json.dumps(self, default=lambda part: {one.name: getattr(part, one.name) for one in fields(part)})
        document: dict[str, Any] = json.loads(text)
        return document


def differences(old: object, new: object, name: str = "") -> Iterator[str]:
    """The differences of two documents, one phrase for each, with its dotted key."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            yield from differences(old.get(key), new.get(key), f"{name}.{key}" if name else key)
    elif old != new:
        yield f"{name} was {json.dumps(old)} and is now {json.dumps(new)}"
