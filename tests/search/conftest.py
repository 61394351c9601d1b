"""A search that needs no network: fitness and cost are formulas of the genotype."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from opanas_cli.genotype import PAPER_PATHS, Genotype
from opanas_cli.genotype.liveness import live_edges, prune
from opanas_cli.search import Cost
from opanas_cli.search.evaluator import Evaluation

WORTH = dict(zip(PAPER_PATHS, (0.31, 0.17, 0.23, 0.29, 0.07, 0.0), strict=True))


class ToyEvaluator:
    """Worth of the live paths, less for far edges, plus a bonus for diversity; counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[Genotype] = []
        self.batch_sizes: list[int] = []

    def evaluate(self, genotypes: Sequence[Genotype]) -> list[Evaluation]:
        self.asked += genotypes
        self.batch_sizes.append(len(genotypes))
        metrics = ({"AP": self.fitness(genotype), "AP_small": float("nan"), "seen": 1} for genotype in genotypes)
        return list(map(Evaluation, metrics))

    @staticmethod
    def fitness(genotype: Genotype) -> float:
        live = live_edges(genotype)
        worth = sum(WORTH[path] / (edge.target - edge.source) for edge, path in live)
        return (worth + 0.1 * len({path for _, path in live})) / 7


def toy_cost(genotype: Genotype) -> Cost:
    """A thousand million MACs and a million parameters for each live path that has weights."""
    assert genotype == prune(genotype)
    heavy = sum(path.is_parameterised for path in genotype.paths)
    return Cost(100_000_000_000 + heavy * 1_000_000_000, 30_000_000 + heavy * 1_000_000)


@pytest.fixture
def evaluator():
    return ToyEvaluator()


@pytest.fixture
def cost_of():
    return toy_cost
