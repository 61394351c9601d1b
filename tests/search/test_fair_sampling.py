"""Strict fair sampling: every path of every edge exactly once a step."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opanas_cli.errors import InvalidGenotypeError
from opanas_cli.genotype import PathType, SearchSpace, SpaceKind
from opanas_cli.genotype.liveness import validate
from opanas_cli.search import fair_genotypes, step_generator

kinds = st.sampled_from(SpaceKind)
some_paths = st.lists(st.sampled_from(SearchSpace().parameterised_paths), min_size=1, unique=True)


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 5), kinds, some_paths, st.integers(0, 2**32 - 1), st.integers(0, 10**6))
def test_every_edge_runs_every_parameterised_path_exactly_once(num_nodes, kind, paths, seed, step):
    space = SearchSpace(num_nodes, kind, (*paths, PathType.SKIP_CONNECT, PathType.NONE))

    genotypes = fair_genotypes(space, step_generator(seed, step))

    assert len(genotypes) == len(paths)
    for genotype in genotypes:
        validate(genotype)
    for on_edge in zip(*(genotype.paths for genotype in genotypes), strict=True):
        assert sorted(on_edge) == sorted(paths)


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 5), kinds, some_paths, st.integers(0, 2**32 - 1))
def test_every_edge_runs_every_path_exactly_once_if_asked(num_nodes, kind, paths, seed):
    space = SearchSpace(num_nodes, kind, (*paths, PathType.SKIP_CONNECT, PathType.NONE))

    genotypes = fair_genotypes(space, np.random.default_rng(seed), "all")

    cut_by_none = kind is SpaceKind.CHAIN or num_nodes == 1
    for genotype in genotypes:
        validate(genotype)
    for on_edge in zip(*(genotype.paths for genotype in genotypes), strict=True):
        assert sorted(on_edge) == sorted(space.paths[:-1] if cut_by_none else space.paths)


def test_a_step_draws_the_same_whatever_was_drawn_before():
    space = SearchSpace()

    in_a_row = [fair_genotypes(space, step_generator(3, step)) for step in range(5)]

    assert fair_genotypes(space, step_generator(3, 4)) == in_a_row[4]
    assert len(set(in_a_row)) == 5
    assert fair_genotypes(space, step_generator(4, 4)) != in_a_row[4]


def test_edges_are_permuted_independently_and_uniformly():
    space = SearchSpace(2)
    steps = [fair_genotypes(space, step_generator(0, step)) for step in range(3200)]

    pairs = Counter((genotypes[0].paths[0], genotypes[0].paths[1]) for genotypes in steps)

    assert len(pairs) == 16
    assert all(count == pytest.approx(200, abs=4.5 * 200**0.5) for count in pairs.values())


def test_a_space_without_weights_has_nothing_to_train():
    space = SearchSpace(paths=(PathType.SKIP_CONNECT, PathType.NONE))

    with pytest.raises(InvalidGenotypeError, match="only skip_connect, none"):
        fair_genotypes(space, np.random.default_rng(0))
