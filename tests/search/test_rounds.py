"""Successive halving of finalists."""

from __future__ import annotations

import pytest

from opanas_cli.search.rounds import epochs_of, rounds_of


@pytest.mark.parametrize(
    ("finalists", "epochs", "rounds", "together"),
    [
        (1, 12, [], 0),
        (2, 12, [(2, 12)], 24),
        (3, 4, [(3, 2), (2, 4)], 3 * 2 + 2 * 2),
        (8, 12, [(8, 3), (4, 6), (2, 12)], 4 * 12),
        (5, 10, [(5, 3), (3, 5), (2, 10)], 5 * 3 + 3 * 2 + 2 * 5),
        # More rounds than epochs: the first ones are the same length.
        (8, 2, [(8, 1), (4, 1), (2, 2)], 8 + 0 + 2),
    ],
)
def test_rounds(finalists: int, epochs: int, rounds: list[tuple[int, int]], together: int) -> None:
    found = rounds_of(finalists, epochs)
    assert found == rounds
    assert epochs_of(found) == together
