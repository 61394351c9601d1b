"""Regularised evolution removes the oldest, not the worst (Real et al. 2019, arXiv:1802.01548, Algorithm 1)."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from opanas_cli.genotype import SearchSpace
from opanas_cli.search.candidate import Candidate, Origin, Proposal, fittest
from opanas_cli.search.strategies.admission import Admission, new_children
from opanas_cli.search.strategies.operators import mutate
from opanas_cli.search.strategies.random_search import RandomSearch, random_proposals
from opanas_cli.search.strategies.strategy import StrategySettings


class RegularizedEvolution(RandomSearch):
    """Ageing evolution: a child of the fittest of a random sample joins the living, and the oldest of them dies.

    `population` random genotypes live first. A tournament samples a quarter of the living, as the source does (25 of
    100), but at least two; its fittest is the parent, and the child has got other paths by mutation. The evaluations
    are as many as those of the other strategies, `population` × (`generations` + 1). A batch's generation is the
    number of whole populations evaluated before it.

    The source evaluates one child after the other. Here a batch of children, by default as many as a tournament
    samples, is bred from the same living candidates, so that the evaluator can share work across it; then all of them
    join and as many of the oldest die. A child thus becomes a parent up to a batch later than in the source, whose own
    workers, several hundred at a time, let children wait longer. With a batch of one it is the source's algorithm, but
    for two things: it mutates each edge with `mutation_prob` instead of always one, and a child that is known
    or infeasible is drawn again, from another tournament. If no new child is found a random genotype takes its place.

    Args:
        batch: children of one `ask`.
    """

    def __init__(self, space: SearchSpace, settings: StrategySettings, seed: int, batch: int | None = None) -> None:
        super().__init__(space, settings, seed)
        self.sample_size = min(max(2, settings.population // 4), settings.population)
        self.batch = batch or self.sample_size
        self._living: deque[Candidate] = deque(maxlen=settings.population)
        self._num_evaluated = 0

    def ask(self, admission: Admission) -> list[Proposal]:
        """See `Strategy.ask`."""
        wanted = min(
            self.batch if self._living else self.settings.population, self.settings.budget - self._num_evaluated
        )
        children = new_children(self._child, wanted, admission) if self._living else []
        return children + random_proposals(self._space, wanted - len(children), self._generation, admission, self._rng)

    def tell(self, candidates: Sequence[Candidate]) -> None:
        """See `Strategy.tell`."""
        super().tell(candidates)
        self._living.extend(candidates)
        self._num_evaluated += len(candidates)
        self._generation = self._num_evaluated // self.settings.population

    def _child(self) -> Proposal:
        sample = self._rng.choice(len(self._living), size=min(self.sample_size, len(self._living)), replace=False)
        (parent,) = fittest((self._living[i] for i in sample), 1)
        child = mutate(parent.genotype, self._space, self.settings.mutation_prob, self._rng)
        return Proposal(child, self._generation, Origin.MUTATION, (parent.index,))
