"""Which sub-nets of the super-net are trained in a step: by strict fair sampling (section 3.2.1), or one at random."""

from __future__ import annotations

import numpy as np

from opanas_cli.errors import InvalidGenotypeError
from opanas_cli.genotype import Genotype, PathType, SearchSpace, SpaceKind
from opanas_cli.genotype.liveness import output_nodes


def fair_genotypes(
    space: SearchSpace, rng: np.random.Generator, sampling: str = "parameterised"
) -> tuple[Genotype, ...]:
    """K genotypes in which every edge carries each of K paths exactly once (Eq. 13).

    The order of the paths is drawn for each edge anew, so the K sub-nets have no path in common on any edge.

    Args:
        sampling: ``parameterised`` takes the paths with weights, as the paper does; ``all`` takes every path of the
            space, so that training shows the heads the kinds of sub-nets that a search will rank. A draw with a dead
            output is drawn again. In a chain and with a single node, where `none` on an edge always cuts the output,
            it is left out.

    Raises:
        InvalidGenotypeError: the space has no parameterised path, so there is nothing to train.
    """
    paths = _trained_paths(space, sampling)
    while True:
        orders = rng.permuted(np.tile(np.arange(len(paths)), (len(space.edges), 1)), axis=1)
        drawn = tuple(Genotype(tuple(paths[choice] for choice in order), space.kind) for order in orders.T)
        if all(map(output_nodes, drawn)):
            return drawn


def uniform_genotypes(
    space: SearchSpace, rng: np.random.Generator, sampling: str = "parameterised"
) -> tuple[Genotype, ...]:
    """One genotype, each edge's path drawn uniformly (SPOS, Guo et al. 2020); see `fair_genotypes`."""
    paths = _trained_paths(space, sampling)
    while True:
        drawn = Genotype(tuple(paths[choice] for choice in rng.integers(len(paths), size=len(space.edges))), space.kind)
        if output_nodes(drawn):
            return (drawn,)


SAMPLERS = {"fair": fair_genotypes, "spos": uniform_genotypes}
"""What is drawn in a step, by the name of the method."""


def _trained_paths(space: SearchSpace, sampling: str) -> tuple[PathType, ...]:
    if not space.parameterised_paths:
        names = ", ".join(space.paths)
        raise InvalidGenotypeError(f"a super-net needs a path with parameters, but the space has only {names}")
    paths = space.parameterised_paths if sampling == "parameterised" else space.paths
    if space.kind is SpaceKind.CHAIN or space.num_nodes == 1:
        paths = tuple(path for path in paths if path is not PathType.NONE)
    return paths


def step_generator(seed: int, step: int) -> np.random.Generator:
    """The generator of one training step, a function of the seed and the step alone.

    So a resumed run draws what the uninterrupted one would have drawn, and all processes of a distributed run draw the
    same, without any stored state.
    """
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(step,)))
