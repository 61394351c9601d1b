"""Candidates: genotypes on their way through a search, before and after their evaluation."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from opanas_cli.genotype import Genotype
from opanas_cli.search.cost import Cost, Resource


class Origin(str, Enum):
    """How a genotype was made (section 3.2.2)."""

    RANDOM = "random"
    CROSSOVER = "crossover"
    MUTATION = "mutation"

    __str__ = str.__str__


@dataclass(frozen=True, slots=True)
class Proposal:
    """A genotype that a strategy wants to be evaluated.

    Generation 0 is the random one; `parents` are indices of candidates, in the order of the operator's arguments.
    """

    genotype: Genotype
    generation: int = 0
    origin: Origin = Origin.RANDOM
    parents: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Candidate:
    """An evaluated proposal: the `index`-th evaluation of its search, from 0.

    `fitness` is the one of `metrics` that the search maximises, unrounded. `image_share` is the fraction of the images
    that it was evaluated on, 1 unless the search halves generations.

    Raises:
        ValueError: one of them is not a finite number, see `defined`.
    """

    index: int
    proposal: Proposal
    cost: Cost
    fitness: float
    metrics: Mapping[str, float]
    image_share: float = 1.0

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, (self.fitness, *self.metrics.values()))):
            raise ValueError("fitness and metrics must be finite numbers")

    @property
    def genotype(self) -> Genotype:
        """The genotype that was evaluated."""
        return self.proposal.genotype


def fittest(candidates: Iterable[Candidate], count: int) -> tuple[Candidate, ...]:
    """The best `count` candidates, best first; of equally fit ones the first evaluated is the better.

    Those that were evaluated on only a part of the images come last, whatever their fitness.
    """
    return tuple(sorted(candidates, key=lambda one: (-one.image_share, -one.fitness, one.index))[:count])


def pareto_front(candidates: Iterable[Candidate], against: Resource) -> tuple[Candidate, ...]:
    """The non-dominated candidates, cheapest first: none other is at least as good in both and better in one.

    Of candidates that are equal in both, all are on the front or none. Those that were evaluated on fewer images than
    others are not on it: their fitness is not comparable. UsageError if the cost is the latency and not known.
    """

    def place(candidate: Candidate) -> tuple[float, float]:
        return candidate.cost.of(against), -candidate.fitness

    everyone = list(candidates)
    whole = max((candidate.image_share for candidate in everyone), default=1.0)
    comparable = [candidate for candidate in everyone if candidate.image_share == whole]
    front: list[Candidate] = []
    for candidate in sorted(comparable, key=lambda candidate: (*place(candidate), candidate.index)):
        if not front or candidate.fitness > front[-1].fitness or place(candidate) == place(front[-1]):
            front.append(candidate)
    return tuple(front)
