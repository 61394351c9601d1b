"""The paper's search: crossover and mutation of the fittest (section 3.2.2)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from opanas_cli.genotype import SearchSpace
from opanas_cli.search.admission import Admission, offspring
from opanas_cli.search.candidate import Candidate, Origin, Proposal, fittest
from opanas_cli.search.operators import crossover, mutate
from opanas_cli.search.random_search import random_proposals
from opanas_cli.search.strategy import StrategySettings


class Evolution:
    """N_S random genotypes, then T generations of N_S children of the k fittest candidates so far.

    The paper leaves three things open, settled here as in single-path one-shot search (SPOS, its reference 12): half of
    a generation comes from crossover and half from mutation; parents are drawn uniformly from the k fittest of all
    generations; where crossover finds no new child mutation takes its place, and then random genotypes do.
    """

    def __init__(self, space: SearchSpace, settings: StrategySettings, seed: int) -> None:
        self.settings = settings
        self.population: tuple[Candidate, ...] = ()
        self._space = space
        self._rng = np.random.default_rng(seed)
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
        self.population = fittest([*self.population, *candidates], self.settings.top_k)
        self._generation += 1

    @property
    def _parents(self) -> Sequence[Candidate]:
        """Those that may breed."""
        return self.population

    def _choose(self) -> Candidate:
        """A parent of a mutant."""
        return self._parents[int(self._rng.integers(len(self._parents)))]

    def _choose_two(self) -> Sequence[Candidate]:
        """Two parents that differ."""
        return [self._parents[int(i)] for i in self._rng.choice(len(self._parents), size=2, replace=False)]

    def _children(self, admission: Admission) -> list[Proposal]:
        cross = self._cross if len(self._parents) > 1 else None
        return offspring(cross, self._mutate, self.settings.population, admission)

    def _cross(self) -> Proposal:
        first, second = self._choose_two()
        child = crossover(first.genotype, second.genotype, self._rng)
        return Proposal(child, self._generation, Origin.CROSSOVER, (first.index, second.index))

    def _mutate(self) -> Proposal:
        parent = self._choose()
        child = mutate(parent.genotype, self._space, self.settings.mutation_probability, self._rng)
        return Proposal(child, self._generation, Origin.MUTATION, (parent.index,))
