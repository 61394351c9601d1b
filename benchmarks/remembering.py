"""Searches that share evaluations: fitness and costs are deterministic, so a genotype is evaluated and counted once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from opanas_cli.genotype import Genotype
from opanas_cli.genotype.liveness import prune
from opanas_cli.search import Cost, Evaluator
from opanas_cli.search.evaluator import Evaluation


class Remembering:
    """An evaluator that asks another one for what it has not been asked before; equal once pruned is equal."""

    def __init__(self, evaluator: Evaluator) -> None:
        self.evaluator = evaluator
        self.known: dict[Genotype, Evaluation] = {}

    def evaluate(self, genotypes: Sequence[Genotype]) -> list[Evaluation]:
        """See `Evaluator.evaluate`."""
        pruned = [prune(genotype) for genotype in genotypes]
        new = [genotype for genotype in dict.fromkeys(pruned) if genotype not in self.known]
        self.known.update(zip(new, self.evaluator.evaluate(new) if new else [], strict=True))
        return [self.known[genotype] for genotype in pruned]


class Costs:
    """A cost model that remembers, too."""

    def __init__(self, cost_of: Callable[[Genotype], Cost]) -> None:
        self.cost_of = cost_of
        self.known: dict[Genotype, Cost] = {}

    def __call__(self, genotype: Genotype) -> Cost:
        """The cost of a genotype."""
        if genotype not in self.known:
            self.known[genotype] = self.cost_of(genotype)
        return self.known[genotype]
