"""How a search meets the network."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from opanas_cli.genotype import Genotype


@dataclass(frozen=True)
class Evaluation:
    """What an evaluator found out about a genotype: metrics, unrounded, and the part of the images they are of.

    The part is 1 unless generations are halved.
    """

    metrics: Mapping[str, float]
    image_share: float = 1.0


class Evaluator(Protocol):
    """Whatever judges how good genotypes are: the trained super-net, or a formula in a test.

    For a resumed search to repeat the uninterrupted one, the same genotypes must get the same metrics.
    """

    def evaluate(self, genotypes: Sequence[Genotype]) -> Sequence[Evaluation]:
        """That of each genotype, in order; greater is better for the metric that is searched on."""
        ...


def defined(metrics: Mapping[str, float]) -> dict[str, float]:
    """The metrics that are finite numbers, as plain floats.

    The others are not defined on the images, as the AP of large objects is not if there are none. One rule holds for
    them everywhere: they are left out, so that nothing is ranked by them and no mean and no file contains them.
    """
    return {name: float(value) for name, value in metrics.items() if math.isfinite(value)}
