"""Candidates that no other beats in both fitness and cost."""

from __future__ import annotations

from collections.abc import Iterable

from opanas_cli.search.candidate import Candidate
from opanas_cli.search.cost import Resource


def pareto_front(candidates: Iterable[Candidate], against: Resource) -> tuple[Candidate, ...]:
    """The non-dominated candidates, cheapest first: none other is at least as good in both and better in one.

    Candidates that are equal in both are all of the front, or none of them. Those that were judged on fewer images than
    others are not of it: their fitness is no match.

    Raises:
        UsageError: the latency counts and is not known.
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
