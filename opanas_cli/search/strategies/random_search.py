"""Random search: the baseline that an evolution has to beat at the same budget (Table 6)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from opanas_cli.genotype import SearchSpace
from opanas_cli.search.candidate import Candidate, Proposal, fittest
from opanas_cli.search.strategies.admission import Admission
from opanas_cli.search.strategies.operators import sample
from opanas_cli.search.strategies.strategy import StrategySettings

MAX_DRAWS = 10_000
"""How many random genotypes in a row may be known or infeasible before the space counts as exhausted."""


class RandomSearch:
    """Uniform samples of the space, without repetition, in as many generations as an evolution has."""

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
        children, size = self._children(admission), self.settings.population
        return children + random_proposals(self._space, size - len(children), self._generation, admission, self._rng)

    def tell(self, candidates: Sequence[Candidate]) -> None:
        """See `Strategy.tell`."""
        self.population = fittest([*self.population, *candidates], self.settings.top_k)
        self._generation += 1

    def _children(self, admission: Admission) -> list[Proposal]:
        """What a generation begins with."""
        return []


def random_proposals(
    space: SearchSpace, count: int, generation: int, admission: Admission, rng: np.random.Generator
) -> list[Proposal]:
    """Up to `count` random genotypes that pass, fewer if the space is exhausted; InfeasibleError if none ever did."""
    proposals: list[Proposal] = []
    while len(proposals) < count:
        proposal = admission.first_new(lambda: Proposal(sample(space, rng), generation), MAX_DRAWS)
        if proposal is None:
            break
        proposals.append(proposal)
    return proposals
