"""NSGA-II: fitness against cost, all trade-offs in one search (Deb et al. 2002)."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np

from opanas_cli.errors import MissingDependencyError
from opanas_cli.genotype import SearchSpace
from opanas_cli.search.candidate import Candidate
from opanas_cli.search.cost import Resource
from opanas_cli.search.strategies.evolution import Evolution
from opanas_cli.search.strategies.strategy import StrategySettings


class NSGA2(Evolution):
    """`population` random genotypes, then generations of as many children, of which and their parents as many survive.

    Survival and mating go by non-domination rank and crowding distance, of greater fitness against less of
    `settings.against`. Children are bred as in `Evolution`, half of a generation by crossover and half by mutation, so
    that the two strategies differ in selection alone; the source mutates what it has crossed. Limits are kept as
    everywhere, by drawing again, so survivors need no constrained domination.

    Raises:
        MissingDependencyError: pymoo is not installed.
    """

    def __init__(self, space: SearchSpace, settings: StrategySettings, seed: int) -> None:
        super().__init__(space, settings, seed)
        self._selection = ParetoSelection(settings.against, self._rng)
        self._survivors: list[Candidate] = []

    def tell(self, candidates: Sequence[Candidate]) -> None:
        """See `Strategy.tell`."""
        self._survivors = self._selection.keep([*self._survivors, *candidates], self.settings.population)
        super().tell(candidates)

    @property
    def _parents(self) -> Sequence[Candidate]:
        return self._survivors

    def _choose(self) -> Candidate:
        (place,) = self._selection.choose(1)
        return self._survivors[place]

    def _choose_two(self) -> Sequence[Candidate]:
        return [self._survivors[place] for place in self._selection.choose(2)]


class ParetoSelection:
    """Selects survivors and parents by non-domination rank and crowding distance, fitness against a cost."""

    def __init__(self, against: Resource, rng: np.random.Generator) -> None:
        # Imported here because pymoo is optional, and slow to import.
        try:
            from pymoo.algorithms.moo.nsga2 import RankAndCrowdingSurvival, binary_tournament
            from pymoo.core.population import Population
            from pymoo.core.problem import Problem
            from pymoo.operators.selection.tournament import TournamentSelection
        except ImportError as error:
            raise MissingDependencyError(
                f"the strategy nsga2 needs pymoo, and importing it failed: {error}; pip install 'opanas[nsga2]'"
            ) from error
        self._against = against
        self._rng = rng
        self._population_of = Population.new
        self._problem = Problem(n_obj=2)
        self._survival = RankAndCrowdingSurvival()
        self._tournament = TournamentSelection(func_comp=binary_tournament)
        self._survivors = Population()

    def keep(self, candidates: Sequence[Candidate], count: int) -> list[Candidate]:
        """The `count` candidates that survive: front by front, of the last front those in the least crowded places.

        Those that were evaluated on only a part of the images rank behind all others.
        """
        objectives = np.array([[-candidate.fitness, candidate.cost.of(self._against)] for candidate in candidates])
        partly = np.array([candidate.image_share < 1 for candidate in candidates])
        objectives[partly] += np.ptp(objectives, axis=0) + 1
        everyone = self._population_of(F=objectives, X=np.arange(len(candidates))[:, None])
        self._survivors = self._survival.do(self._problem, everyone, n_survive=count, random_state=self._rng)
        return [candidates[int(survivor.X[0])] for survivor in self._survivors]

    def choose(self, count: int) -> list[int]:
        """The places among the survivors of `count` winners of binary tournaments: lower rank, then less crowded."""
        rules = SimpleNamespace(tournament_type="comp_by_rank_and_crowding", random_state=self._rng)
        winners = self._tournament.do(
            self._problem, self._survivors, 1, count, to_pop=False, algorithm=rules, random_state=self._rng
        )
        return [int(winner) for winner in winners[0]]
