"""Which draws of a strategy become proposals, and how children are drawn."""

from __future__ import annotations

from collections.abc import Callable

from opanas_cli.errors import InfeasibleError, OpanasError
from opanas_cli.genotype import Genotype
from opanas_cli.genotype.liveness import prune
from opanas_cli.search.candidate import Proposal
from opanas_cli.search.cost import Constraints, Cost, Resource, format_resource


class Admission:
    """Lets a draw pass if it is new and keeps to the constraints.

    Genotypes that are equal once pruned give the same output in the super-net and have the same cost: the first one
    stands for all. Isomorphic ones with other node numbers use other weights there and are admitted separately.
    """

    def __init__(self, cost_of: Callable[[Genotype], Cost], constraints: Constraints) -> None:
        self._cost_of = cost_of
        self._constraints = constraints
        self._costs: dict[Genotype, Cost] = {}

    def first_new(self, draw: Callable[[], Proposal], max_draws: int) -> Proposal | None:
        """The first of at most `max_draws` draws that passes, or None; InfeasibleError if nothing has ever passed."""
        for _ in range(max_draws):
            proposal = draw()
            if self._passes(proposal.genotype):
                return proposal
        if not any(map(self._constraints.satisfied, self._costs.values())):
            raise InfeasibleError(self._infeasible(max_draws))
        return None

    def cost(self, genotype: Genotype) -> Cost:
        """The cost of a genotype that was drawn before; OpanasError if it was not, which its strategy must not do."""
        pruned = prune(genotype)
        if pruned not in self._costs:
            raise OpanasError(
                "the strategy proposed a genotype that it did not draw with admission.first_new; fix the strategy"
            )
        return self._costs[pruned]

    def _passes(self, genotype: Genotype) -> bool:
        pruned = prune(genotype)
        if pruned in self._costs:
            return False
        self._costs[pruned] = self._cost_of(pruned)
        return self._constraints.satisfied(self._costs[pruned])

    def _infeasible(self, draws: int) -> str:
        known = [r for r in Resource if r is not Resource.LATENCY or self._constraints.max_latency_ms is not None]
        *others, last = [format_resource(r, min(cost.of(r) for cost in self._costs.values())) for r in known]
        return (
            f"no genotype with {self._constraints} in {draws:,} draws; the smallest seen were {', '.join(others)} and "
            f"{last}; raise the limits, or use fewer channels or nodes"
        )


MAX_CHILDREN = 200
"""How many children in a row may be known or infeasible before a strategy proposes random genotypes instead."""


def new_children(breed: Callable[[], Proposal], count: int, admission: Admission) -> list[Proposal]:
    """Up to `count` children that pass, fewer if `MAX_CHILDREN` in a row did not."""
    children: list[Proposal] = []
    while len(children) < count and (child := admission.first_new(breed, MAX_CHILDREN)):
        children.append(child)
    return children


def offspring(
    cross: Callable[[], Proposal] | None, mutate: Callable[[], Proposal], count: int, admission: Admission
) -> list[Proposal]:
    """Up to `count` children, half of them by crossover if there is one, and the others by mutation."""
    crossed = new_children(cross, count // 2, admission) if cross else []
    return crossed + new_children(mutate, count - len(crossed), admission)
