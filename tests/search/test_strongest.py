"""The genotype of the strongest paths, against all genotypes of a small space."""

from __future__ import annotations

import numpy as np
import pytest

from opanas_cli.genotype import Genotype, PathType, SearchSpace, SpaceKind
from opanas_cli.genotype.liveness import output_nodes
from opanas_cli.search.strongest import strongest_genotype

PATHS = (PathType.TOP_DOWN, PathType.SKIP_CONNECT, PathType.NONE)


@pytest.mark.parametrize("kind", SpaceKind)
@pytest.mark.parametrize("bias", [0.0, 3.0])
def test_it_is_the_most_probable_live_genotype(kind: SpaceKind, bias: float) -> None:
    """By the softmax of each edge, also where the strongest paths alone are dead."""
    space, rng, dead = SearchSpace(2, kind, PATHS), np.random.default_rng(0), 0
    for _ in range(30):
        architecture = rng.normal((0, 0, bias), size=(len(space.edges), 3))

        def score(genotype: Genotype, architecture: np.ndarray = architecture) -> float:
            columns = [PATHS.index(path) for path in genotype.paths]
            return float(architecture[np.arange(len(columns)), columns].sum())

        found, alive = strongest_genotype(space, architecture.tolist())
        assert found == max((one for one in space if output_nodes(one)), key=score)
        assert alive == bool(output_nodes(max(space, key=score)))
        dead += not alive
    assert dead


def test_equal_paths_give_the_first() -> None:
    found, alive = strongest_genotype(SearchSpace(1), [[0.0] * 6])
    assert (found.paths, alive) == ((PathType.TOP_DOWN,), True)
