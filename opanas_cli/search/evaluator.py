"""How a search meets the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from opanas_cli.genotype import Genotype


class Evaluator(Protocol):
    """Whatever tells how good genotypes are: the trained super-net, or a formula in a test.

    For a resumed search to repeat the uninterrupted one, the same genotypes must get the same metrics.
    """

    def evaluate(self, genotypes: Sequence[Genotype]) -> Sequence[Mapping[str, float]]:
        """The metrics of each genotype, in order, unrounded; greater is better for the metric that is searched on."""
        ...
