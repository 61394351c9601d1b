"""The paper's search: crossover and mutation of the fittest (section 3.2.2)."""

from __future__ import annotations

from collections.abc import Sequence

from opanas_cli.search.candidate import Candidate, Origin, Proposal
from opanas_cli.search.strategies.admission import Admission, offspring
from opanas_cli.search.strategies.operators import crossover, mutate
from opanas_cli.search.strategies.random_search import RandomSearch


class Evolution(RandomSearch):
    """N_S random genotypes, then T generations of N_S children of the k fittest candidates so far.

    The paper leaves three things open, settled here as in single-path one-shot search (SPOS, its reference 12): half of
    a generation comes from crossover and half from mutation; parents are drawn uniformly from the k fittest of all
    generations; if crossover finds no new child mutation takes its place, and then random genotypes do.
    """

    @property
    def _parents(self) -> Sequence[Candidate]:
        """The candidates that may breed."""
        return self.population

    def _choose(self) -> Candidate:
        """A parent of a mutant."""
        return self._parents[int(self._rng.integers(len(self._parents)))]

    def _choose_two(self) -> Sequence[Candidate]:
        """Two parents that differ."""
        return [self._parents[int(i)] for i in self._rng.choice(len(self._parents), size=2, replace=False)]

    def _children(self, admission: Admission) -> list[Proposal]:
        if not self._parents:
            return []
        cross = self._cross if len(self._parents) > 1 else None
        return offspring(cross, self._mutate, self.settings.population, admission)

    def _cross(self) -> Proposal:
        first, second = self._choose_two()
        child = crossover(first.genotype, second.genotype, self._rng)
        return Proposal(child, self._generation, Origin.CROSSOVER, (first.index, second.index))

    def _mutate(self) -> Proposal:
        parent = self._choose()
        child = mutate(parent.genotype, self._space, self.settings.mutation_prob, self._rng)
        return Proposal(child, self._generation, Origin.MUTATION, (parent.index,))
