"""What a search strategy is: it is asked for proposals, and told their fitness."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from opanas_cli.errors import UsageError
from opanas_cli.search.candidate import Candidate, Proposal
from opanas_cli.search.cost import Resource
from opanas_cli.search.strategies.admission import Admission
from opanas_cli.stage_settings import SearchSection, settings_of


@dataclass(frozen=True, slots=True)
class StrategySettings:
    """The budget and the settings of a strategy, those of the config's section `search`.

    `population` is N_S, the number of candidates of a generation; `generations` is T, those after the random one;
    `top_k` is k, the number of candidates that breed and that the search returns. `against` is the cost that fitness is
    traded against: by strategies that do so, and in the Pareto front of every search.

    Raises:
        UsageError: a value is out of range.
    """

    population: int = SearchSection.population
    generations: int = SearchSection.generations
    top_k: int = SearchSection.top_k
    mutation_prob: float = SearchSection.mutation_prob
    against: Resource = Resource.MACS

    def __post_init__(self) -> None:
        for name in ("population", "generations", "top_k", "mutation_prob"):
            check, value = settings_of("search")[name].metadata["check"], getattr(self, name)
            if not check.holds(value):
                raise UsageError(f"{name} must be {check.wanted}, but got {value}")

    @property
    def budget(self) -> int:
        """The number of evaluations, the random generation included."""
        return self.population * (self.generations + 1)


class Strategy(Protocol):
    """Proposes genotypes, batch by batch; independent of networks and files.

    A strategy has its own random generator, so the same seed and the same fitness give the same proposals.
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
        """The next batch, usually a generation, only of draws that `admission` lets pass.

        Smaller if draws run out, and empty when the search is over.
        """
        ...

    def tell(self, candidates: Sequence[Candidate]) -> None:
        """Take the evaluated batch, complete and in the order of the proposals."""
        ...
