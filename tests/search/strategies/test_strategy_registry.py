"""Strategies are found through entry points, and a bad plug-in never stops the others."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint

import pytest

from opanas_cli.errors import UsageError
from opanas_cli.genotype import SearchSpace
from opanas_cli.search import STRATEGIES, StrategySettings, strategy_named
from opanas_cli.search.strategies.random_search import RandomSearch


class Mine(RandomSearch):
    """As a plug-in would define one."""


class OfTwoThings:
    """Cannot be built from a space, settings and a seed."""

    def __init__(self, space: object, settings: object) -> None:
        """Nothing."""


NO_STRATEGY = 7


def point(name: str, attribute: str) -> EntryPoint:
    return EntryPoint(name, f"{__name__}:{attribute}", STRATEGIES.group)


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])


def built_in() -> list[EntryPoint]:
    return [EntryPoint(name, value, STRATEGIES.group) for name, value in STRATEGIES.built_in.items()]


def test_built_in_strategies_come_first_and_can_be_built() -> None:
    assert list(STRATEGIES.all)[:4] == ["evolution", "random", "regularized", "nsga2"]
    for name in STRATEGIES.built_in:
        strategy = STRATEGIES.all[name](SearchSpace(), StrategySettings(), 0)
        assert strategy.settings == StrategySettings()
        assert strategy.population == ()


def test_a_plug_in_is_found_by_its_name(plug_in: Callable[..., None]) -> None:
    plug_in(STRATEGIES, *built_in(), point("mine", "Mine"))
    assert strategy_named("mine") is Mine
    with pytest.raises(UsageError, match=r"'my' is not a strategy; choose one of evolution, .*, nsga2, mine"):
        strategy_named("my")


@pytest.mark.parametrize(
    ("name", "attribute", "reason"),
    [
        ("gone", "GONE", "AttributeError"),
        ("evolution", "Mine", "the name 'evolution' is taken"),
        ("two", "OfTwoThings", "too many positional arguments"),
        ("seven", "NO_STRATEGY", "expected a callable that takes a space, settings and a seed, but got 7"),
    ],
)
def test_a_bad_plug_in_is_named_and_skipped(name: str, attribute: str, reason: str) -> None:
    with pytest.warns(RuntimeWarning, match=f"strategy '{name}' .*{attribute}.* is skipped: .*{re.escape(reason)}"):
        loaded = STRATEGIES.load([*built_in(), point(name, attribute), point("mine", "Mine")])
    assert list(loaded) == [*STRATEGIES.built_in, "mine"]


def test_strategies_are_listed_without_pymoo() -> None:
    code = "import sys; from opanas_cli.search import STRATEGIES; STRATEGIES.all; print('pymoo' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"
