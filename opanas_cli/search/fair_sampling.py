"""Strict fair sampling: which sub-nets of the super-net are trained in a step (section 3.2.1)."""

from __future__ import annotations

import numpy as np

from opanas_cli.errors import InvalidGenotypeError
from opanas_cli.genotype import Genotype, SearchSpace


def fair_genotypes(space: SearchSpace, rng: np.random.Generator) -> tuple[Genotype, ...]:
    """K genotypes in which every edge carries each of the K parameterised paths exactly once (Eq. 13).

    The order of the paths is drawn for each edge anew, so the K sub-nets have no path in common on any edge.

    Raises:
        InvalidGenotypeError: the space has no parameterised path, so there is nothing to train.
    """
    paths = space.parameterised_paths
    if not paths:
        names = ", ".join(space.paths)
        raise InvalidGenotypeError(f"a super-net needs a path with parameters, but the space has only {names}")
    orders = rng.permuted(np.tile(np.arange(len(paths)), (len(space.edges), 1)), axis=1)
    return tuple(Genotype(tuple(paths[choice] for choice in order), space.kind) for order in orders.T)


def step_generator(seed: int, step: int) -> np.random.Generator:
    """The generator of one training step, a function of the seed and the step alone.

    So a resumed run draws what the uninterrupted one would have drawn, and all processes of a distributed run draw the
    same, without any stored state.
    """
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(step,)))
