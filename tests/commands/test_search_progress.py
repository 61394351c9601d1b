"""The progress of a search."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from opanas_cli.commands.search_progress import SearchProgress


def test_images_are_told_between_candidates() -> None:
    said: list[Any] = []
    shown = SearchProgress(lambda *what: said.append(what))
    shown.images(8, 24, 50)
    candidate = SimpleNamespace(proposal=SimpleNamespace(generation=3))
    shown.candidate(SimpleNamespace(candidate=candidate, best=SimpleNamespace(fitness=0.25), total=50))  # type: ignore[arg-type]
    shown.images(16, 24, 50)
    assert said == [
        (0, 50, "generation 0, images 8/24"),
        (1, 50, "generation 3, best 0.2500"),
        (1, 50, "generation 3, best 0.2500, images 16/24"),
    ]
