"""The strategies that are installed, found through the entry-point group ``opanas.strategies``."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

from opanas_cli.errors import UsageError
from opanas_cli.genotype import SearchSpace
from opanas_cli.plug_ins import entry_points_of, load_plug_ins
from opanas_cli.search.strategy import Strategy, StrategySettings

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "opanas.strategies"

BUILT_IN = {
    "evolution": "opanas_cli.search.evolution:Evolution",
    "random": "opanas_cli.search.random_search:RandomSearch",
    "regularized": "opanas_cli.search.regularized:RegularizedEvolution",
    "nsga2": "opanas_cli.search.nsga2:NSGA2",
}
"""Ours need no entry points, so they work in a source tree that is not installed."""

StrategyBuilder = Callable[[SearchSpace, StrategySettings, int], Strategy]
"""Builds a strategy from a space, settings and a seed."""


@lru_cache(maxsize=1)
def strategies() -> Mapping[str, StrategyBuilder]:
    """The installed strategies by name, built-in ones first.

    A plug-in that is broken, or that claims a name already taken, is named in a warning and skipped.
    """
    return MappingProxyType(load(entry_points_of(GROUP, BUILT_IN)))


def strategy_named(name: str) -> StrategyBuilder:
    """The strategy called `name`.

    Raises:
        UsageError: there is none.
    """
    if name in strategies():
        return strategies()[name]
    raise UsageError(f"--strategy: there is no strategy '{name}'; choose one of {', '.join(strategies())}")


def load(points: Iterable[EntryPoint]) -> dict[str, StrategyBuilder]:
    """The strategies behind entry points, without those that are broken or clash with an earlier one."""
    return load_plug_ins(points, "strategy", _checked)


def _checked(builder: object, name: str, loaded: Mapping[str, StrategyBuilder]) -> StrategyBuilder:
    if not callable(builder):
        raise TypeError(f"something to call with a space, settings and a seed is needed, but got {builder!r}")
    inspect.signature(builder).bind("space", "settings", "seed")
    return cast(StrategyBuilder, builder)
