"""NSGA-II: fitness against cost, all trade-offs in one search (Deb et al. 2002)."""

from __future__ import annotations

from collections.abc import Sequence

from opanas_cli.genotype import SearchSpace
from opanas_cli.search.candidate import Candidate
from opanas_cli.search.evolution import Evolution
from opanas_cli.search.pareto_selection import ParetoSelection
from opanas_cli.search.strategy import StrategySettings


class NSGA2(Evolution):
    """`population` random genotypes, then generations of as many children, of which and their parents as many survive.

    Survival and mating go by non-domination rank and crowding distance, of greater fitness against less of
    `settings.against`. Children are born as in `Evolution`, half of a generation by crossover and half by mutation, so
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
