"""NSGA-II: fitness against cost, all trade-offs in one search (Deb et al. 2002)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from opanas_cli.genotype import SearchSpace
from opanas_cli.search.admission import Admission
from opanas_cli.search.births import offspring
from opanas_cli.search.candidate import Candidate, Origin, Proposal, fittest
from opanas_cli.search.operators import crossover, mutate
from opanas_cli.search.pareto_selection import ParetoSelection
from opanas_cli.search.random_search import random_proposals
from opanas_cli.search.strategy import StrategySettings


class NSGA2:
    """`population` random genotypes, then generations of as many children, of which and their parents as many survive.

    Survival and mating go by non-domination rank and crowding distance, of greater fitness against less of
    `settings.against`. Children are born as in `Evolution`, half of a generation by crossover and half by mutation, so
    that the two strategies differ in selection alone; the source mutates what it has crossed. Limits are kept as
    everywhere, by drawing again, so survivors need no constrained domination.

    Raises:
        MissingDependencyError: pymoo is not installed.
    """

    def __init__(self, space: SearchSpace, settings: StrategySettings, seed: int) -> None:
        self.settings = settings
        self.population: tuple[Candidate, ...] = ()
        self._space = space
        self._rng = np.random.default_rng(seed)
        self._selection = ParetoSelection(settings.against, self._rng)
        self._parents: list[Candidate] = []
        self._generation = 0

    def ask(self, admission: Admission) -> list[Proposal]:
        """See `Strategy.ask`."""
        if self._generation > self.settings.generations:
            return []
        size = self.settings.population
        children = self._children(admission) if self._parents else []
        strangers = random_proposals(self._space, size - len(children), self._generation, admission, self._rng)
        return children + strangers

    def tell(self, candidates: Sequence[Candidate]) -> None:
        """See `Strategy.tell`."""
        self._parents = self._selection.keep([*self._parents, *candidates], self.settings.population)
        self.population = fittest([*self.population, *candidates], self.settings.top_k)
        self._generation += 1

    def _children(self, admission: Admission) -> list[Proposal]:
        cross = self._cross if len(self._parents) > 1 else None
        return offspring(cross, self._mutate, self.settings.population, admission)

    def _cross(self) -> Proposal:
        first, second = (self._parents[place] for place in self._selection.choose(2))
        child = crossover(first.genotype, second.genotype, self._rng)
        return Proposal(child, self._generation, Origin.CROSSOVER, (first.index, second.index))

    def _mutate(self) -> Proposal:
        (place,) = self._selection.choose(1)
        parent = self._parents[place]
        child = mutate(parent.genotype, self._space, self.settings.mutation_probability, self._rng)
        return Proposal(child, self._generation, Origin.MUTATION, (parent.index,))
