"""The search for the best genotype. Meets the network only through the `Evaluator` protocol; knows no torch."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from opanas_cli.genotype import SearchSpace
from opanas_cli.search.candidate import Candidate, Origin, Proposal, fittest
from opanas_cli.search.cost import Constraints, Cost, parse_quantity
from opanas_cli.search.evaluator import Evaluator
from opanas_cli.search.evolution import Evolution
from opanas_cli.search.fair_sampling import fair_genotypes, step_generator
from opanas_cli.search.history import History
from opanas_cli.search.random_search import RandomSearch
from opanas_cli.search.search import Progress, SearchResult, run_search
from opanas_cli.search.settings import SearchSettings
from opanas_cli.search.strategy import Strategy, StrategySettings

STRATEGIES: Mapping[str, Callable[[SearchSpace, StrategySettings, int], Strategy]] = MappingProxyType(
    {"evolution": Evolution, "random": RandomSearch}
)
"""Each strategy by the name that a user knows it by; built from a space, settings and a seed."""

__all__ = [
    "STRATEGIES",
    "Candidate",
    "Constraints",
    "Cost",
    "Evaluator",
    "Evolution",
    "History",
    "Origin",
    "Progress",
    "Proposal",
    "RandomSearch",
    "SearchResult",
    "SearchSettings",
    "Strategy",
    "StrategySettings",
    "fair_genotypes",
    "fittest",
    "parse_quantity",
    "run_search",
    "step_generator",
]
