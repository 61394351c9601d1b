"""The random operators of the search: sampling, crossover and mutation of genotypes (section 3.2.2).

All of them return genotypes with a live output, and draw again if the output is dead.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from opanas_cli.errors import InfeasibleError
from opanas_cli.genotype import Genotype, PathType, SearchSpace
from opanas_cli.genotype.liveness import output_nodes

MAX_REDRAWS = 10_000
"""How often an operator draws before it gives up."""


def sample(space: SearchSpace, rng: np.random.Generator) -> Genotype:
    """A genotype drawn uniformly from the valid ones of `space`; InfeasibleError if no draw had a live output."""

    def draw() -> Genotype:
        choices = rng.integers(len(space.paths), size=len(space.edges))
        return Genotype(tuple(space.paths[choice] for choice in choices), space.kind)

    genotype = _first_valid(draw)
    if genotype is None:
        raise InfeasibleError(
            f"no live output in {MAX_REDRAWS:,} random genotypes; use fewer nodes, or leave 'none' out of the space"
        )
    return genotype


def crossover(a: Genotype, b: Genotype, rng: np.random.Generator) -> Genotype:
    """A child that takes the path of each edge from one of its two parents, with equal chance.

    `a` itself if no child with a live output was found.
    """

    def draw() -> Genotype:
        from_a = rng.random(len(a.paths)) < 0.5
        paths = (pair[0] if first else pair[1] for first, *pair in zip(from_a, a.paths, b.paths, strict=True))
        return Genotype(tuple(paths), a.space)

    return _first_valid(draw) or a


def mutate(genotype: Genotype, space: SearchSpace, probability: float, rng: np.random.Generator) -> Genotype:
    """A child in which each edge has, with `probability`, got another path of `space`.

    The unchanged genotype with chance (1 - probability)**edges, and if no child with a live output was found.
    """
    others = {path: [other for other in space.paths if other is not path] or [path] for path in space.paths}

    def mutated(path: PathType) -> PathType:
        return others[path][rng.integers(len(others[path]))]

    def draw() -> Genotype:
        mutates = rng.random(len(genotype.paths)) < probability
        paths = (mutated(path) if change else path for change, path in zip(mutates, genotype.paths, strict=True))
        return Genotype(tuple(paths), genotype.space)

    return _first_valid(draw) or genotype


def _first_valid(draw: Callable[[], Genotype]) -> Genotype | None:
    return next((genotype for genotype in (draw() for _ in range(MAX_REDRAWS)) if output_nodes(genotype)), None)
