"""How a search reaches the network."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from opanas_cli.genotype import Genotype


@dataclass(frozen=True)
class Evaluation:
    """The metrics of a genotype, unrounded, and the fraction of the images that it was evaluated on.

    The fraction is 1 unless generations are halved.
    """

    metrics: Mapping[str, float]
    image_share: float = 1.0


class Evaluator(Protocol):
    """What measures genotypes: the trained super-net, or a formula in a test.

    For a resumed search to repeat the uninterrupted one, the same genotypes must get the same metrics.
    """

    def evaluate(self, genotypes: Sequence[Genotype]) -> Sequence[Evaluation]:
        """The evaluation of each genotype, in order; greater is better for the metric that is searched on."""
        ...


def defined(metrics: Mapping[str, float]) -> dict[str, float]:
    """The metrics that are finite numbers, as plain floats.

    The others are not defined on the images, e.g. the AP of large objects if there are none. They are left out
    everywhere, so that nothing is ranked by them and no mean and no file contains them.
    """
    return {name: float(value) for name, value in metrics.items() if math.isfinite(value)}
