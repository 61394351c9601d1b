"""How far a search is, shown while candidates are evaluated too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opanas_cli.commands.console import Report

if TYPE_CHECKING:
    from opanas_cli.search import Progress


class SearchProgress:
    """Tells a progress bar of each candidate, and between candidates of the images.

    Several candidates are evaluated in one pass over the images, so they come in bursts.
    """

    def __init__(self, report: Report) -> None:
        self.report = report
        self.done = 0
        self.note = "generation 0"

    def candidate(self, progress: Progress) -> None:
        """The fitness of one more candidate is known."""
        self.done += 1
        self.note = f"generation {progress.candidate.proposal.generation}, best {progress.best.fitness:.4f}"
        self.report(self.done, progress.total, self.note)

    def images(self, done: int, images: int, total: int) -> None:
        """So many images of the pass are done, in a search of `total` candidates."""
        self.report(self.done, total, f"{self.note}, images {done}/{images}")
