"""What a search strategy is: something to ask for proposals and to tell their fitness."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from opanas_cli.errors import UsageError
from opanas_cli.search.admission import Admission
from opanas_cli.search.candidate import Candidate, Proposal
from opanas_cli.search.cost import Resource


@dataclass(frozen=True, slots=True)
class StrategySettings:
    """The budget and the knobs of a strategy; the defaults are the paper's (section 3.2.2).

    `population` is N_S, the number of candidates of a generation; `generations` is T, those after the random one;
    `top_k` is k, the number of candidates that breed and that the search hands back at its end. `against` is what
    fitness is traded against where a strategy trades, and in the Pareto front of every search.
    """

    population: int = 50
    generations: int = 12
    top_k: int = 10
    mutation_probability: float = 0.1
    against: Resource = Resource.MACS

    def __post_init__(self) -> None:
        for name, least in (("population", 1), ("generations", 0), ("top_k", 1)):
            if getattr(self, name) < least:
                raise UsageError(f"{name} is at least {least}, but got {getattr(self, name)}")
        if not 0 <= self.mutation_probability <= 1:
            raise UsageError(f"mutation_probability lies between 0 and 1, but got {self.mutation_probability}")

    @property
    def budget(self) -> int:
        """The number of evaluations, the random generation included."""
        return self.population * (self.generations + 1)


class Strategy(Protocol):
    """Proposes genotypes, batch by batch; knows nothing of networks and files.

    A strategy draws from a generator of its own, so the same seed and the same fitness give the same proposals.
    """

    @property
    def settings(self) -> StrategySettings:
        """What the strategy was built with."""
        ...

    @property
    def population(self) -> tuple[Candidate, ...]:
        """The best `top_k` candidates told so far, best first."""
        ...

    def ask(self, admission: Admission) -> list[Proposal]:
        """The next batch, as a rule a generation, only of draws that `admission` lets pass.

        A smaller one where draws run out; empty when the search is over.
        """
        ...

    def tell(self, candidates: Sequence[Candidate]) -> None:
        """Hand back the evaluated batch, complete and in the order of the proposals."""
        ...
