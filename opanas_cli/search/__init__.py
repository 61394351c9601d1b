"""The search for the best genotype. It reaches the network only through the `Evaluator` protocol, without torch."""

from opanas_cli.search.candidate import Candidate, Origin, Proposal, fittest
from opanas_cli.search.cost import Constraints, Cost, Resource, parse_milliseconds, parse_quantity
from opanas_cli.search.evaluator import Evaluator
from opanas_cli.search.fair_sampling import fair_genotypes, step_generator
from opanas_cli.search.history import History
from opanas_cli.search.search import Progress, SearchResult, run_search
from opanas_cli.search.settings import SearchSettings
from opanas_cli.search.strategies.evolution import Evolution
from opanas_cli.search.strategies.nsga2 import NSGA2
from opanas_cli.search.strategies.random_search import RandomSearch
from opanas_cli.search.strategies.registry import STRATEGIES, strategy_named
from opanas_cli.search.strategies.regularized import RegularizedEvolution
from opanas_cli.search.strategies.strategy import Strategy, StrategySettings

__all__ = [
    "NSGA2",
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
    "RegularizedEvolution",
    "Resource",
    "SearchResult",
    "SearchSettings",
    "Strategy",
    "StrategySettings",
    "fair_genotypes",
    "fittest",
    "parse_milliseconds",
    "parse_quantity",
    "run_search",
    "step_generator",
    "strategy_named",
]
