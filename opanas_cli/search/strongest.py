"""The genotype that a mixture of all paths ends with: the strongest path of each edge."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from opanas_cli.genotype import Genotype, PathType, SearchSpace, SpaceKind
from opanas_cli.genotype.liveness import output_nodes


def strongest_genotype(space: SearchSpace, architecture: Sequence[Sequence[float]]) -> tuple[Genotype, bool]:
    """The path with the largest parameter on each edge, and whether the output of just these is alive.

    If `none` cuts the output off, the genotype is the live one of the largest product of odds, which for a softmax is
    the most probable one: of a chain each `none` gives way to the strongest other path, of a dense genotype the one out
    of node 0 whose strongest other path is least behind it.

    Args:
        architecture: a row for each edge, a parameter for each path, in the order of the space.
    """
    values = np.asarray(architecture, dtype=float)
    chosen = _genotype(space, values.argmax(axis=1))
    if output_nodes(chosen):
        return chosen, True
    none = space.paths.index(PathType.NONE)
    others = values.copy()
    others[:, none] = -np.inf
    cut = [place for place, (edge, path) in enumerate(chosen.items()) if path is PathType.NONE and _cuts(space, edge)]
    if space.kind is SpaceKind.DENSE:
        cut = [min(cut, key=lambda place: values[place, none] - others[place].max())]
    choices = values.argmax(axis=1)
    choices[cut] = others[cut].argmax(axis=1)
    return _genotype(space, choices), False


def _cuts(space: SearchSpace, edge: tuple[int, int]) -> bool:
    return space.kind is SpaceKind.CHAIN or edge[0] == 0


def _genotype(space: SearchSpace, choices: Sequence[int]) -> Genotype:
    return Genotype(tuple(space.paths[choice] for choice in choices), space.kind)
