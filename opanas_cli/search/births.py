"""Children of earlier candidates, as many as are wanted if there are so many."""

from __future__ import annotations

from collections.abc import Callable

from opanas_cli.search.admission import Admission
from opanas_cli.search.candidate import Proposal

MAX_BIRTHS = 200
"""How many children in a row may be known or infeasible before a strategy looks for candidates elsewhere."""


def births(bear: Callable[[], Proposal], count: int, admission: Admission) -> list[Proposal]:
    """Up to `count` children that pass, fewer where `MAX_BIRTHS` in a row did not."""
    born: list[Proposal] = []
    while len(born) < count and (child := admission.first_new(bear, MAX_BIRTHS)):
        born.append(child)
    return born


def offspring(
    cross: Callable[[], Proposal] | None, mutate: Callable[[], Proposal], count: int, admission: Admission
) -> list[Proposal]:
    """Up to `count` children, half of them by crossover if there is one, and the others by mutation."""
    crossed = births(cross, count // 2, admission) if cross else []
    return crossed + births(mutate, count - len(crossed), admission)
