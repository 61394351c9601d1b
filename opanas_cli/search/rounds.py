"""Successive halving (Jamieson and Talwalkar, 2016): ever fewer finalists are trained for ever longer."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple


class Round(NamedTuple):
    """So many networks are trained until they have had so many epochs."""

    networks: int
    epochs: int


def rounds_of(finalists: int, epochs: int) -> list[Round]:
    """The rounds that leave one finalist; none if there is only one.

    A round drops the worse half and takes twice as many epochs as the round before, the last one `epochs`, rounded up.
    """
    rounds: list[Round] = []
    for last in reversed(range(math.ceil(math.log2(finalists)))):
        rounds.append(Round(finalists, math.ceil(epochs / 2**last)))
        finalists = math.ceil(finalists / 2)
    return rounds


def epochs_of(rounds: list[Round]) -> int:
    """Those of all trainings together, each of which goes on from the round before."""
    before = [0, *(one.epochs for one in rounds)]
    return sum(one.networks * (one.epochs - had) for one, had in zip(rounds, before, strict=False))


def last_rounds(rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Of each training, a network and a seed, the row with the most epochs, whose cost has all earlier ones in it.

    What was trained again for another number of finalists, once all were removed, counts once.
    """
    last = {(row.get("network"), row.get("seed")): row for row in sorted(rows, key=lambda row: row.get("epochs", 0))}
    return list(last.values())
