"""The strategies that are installed."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import cast

from opanas_cli.genotype import SearchSpace
from opanas_cli.plug_ins import Registry
from opanas_cli.search.strategies.strategy import Strategy, StrategySettings

StrategyBuilder = Callable[[SearchSpace, StrategySettings, int], Strategy]
"""Builds a strategy from a space, settings and a seed."""


def _checked(builder: object, name: str, loaded: Mapping[str, StrategyBuilder]) -> StrategyBuilder:
    if not callable(builder):
        raise TypeError(f"expected a callable that takes a space, settings and a seed, but got {builder!r}")
    inspect.signature(builder).bind("space", "settings", "seed")
    return cast(StrategyBuilder, builder)


STRATEGIES = Registry(
    "opanas.strategies",
    "strategy",
    {
        "evolution": "opanas_cli.search.strategies.evolution:Evolution",
        "random": "opanas_cli.search.strategies.random_search:RandomSearch",
        "regularized": "opanas_cli.search.strategies.regularized:RegularizedEvolution",
        "nsga2": "opanas_cli.search.strategies.nsga2:NSGA2",
    },
    _checked,
    option="--strategy",
)


def strategy_named(name: str) -> StrategyBuilder:
    """The strategy called `name`.

    Raises:
        UsageError: there is none.
    """
    return STRATEGIES.named(name)
