"""Samples and children: valid, in the space, made of what they should be made of."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opanas_cli.errors import InfeasibleError
from opanas_cli.genotype import PAPER_PATHS, Genotype, PathType, SearchSpace, SpaceKind
from opanas_cli.genotype.liveness import validate
from opanas_cli.search.strategies import operators
from opanas_cli.search.strategies.operators import crossover, mutate, sample

spaces = st.builds(
    SearchSpace,
    st.integers(1, 5),
    st.sampled_from(SpaceKind),
    st.lists(st.sampled_from(PAPER_PATHS), min_size=1, max_size=6, unique=True)
    .map(tuple)
    .filter(lambda paths: paths != (PathType.NONE,)),
)
seeds = st.integers(0, 2**32 - 1)


@settings(deadline=None, max_examples=100)
@given(spaces, seeds)
def test_samples_are_valid_and_in_the_space(space, seed):
    genotype = sample(space, np.random.default_rng(seed))

    validate(genotype)
    assert genotype in space


@settings(deadline=None, max_examples=100)
@given(spaces, seeds)
def test_every_edge_of_a_child_comes_from_a_parent(space, seed):
    rng = np.random.default_rng(seed)
    a, b = sample(space, rng), sample(space, rng)

    child = crossover(a, b, rng)

    validate(child)
    assert child in space
    assert all(path in (of_a, of_b) for path, of_a, of_b in zip(child.paths, a.paths, b.paths, strict=True))


@settings(deadline=None, max_examples=100)
@given(spaces, seeds, st.floats(0, 1))
def test_mutations_are_valid_and_in_the_space(space, seed, probability):
    rng = np.random.default_rng(seed)

    child = mutate(sample(space, rng), space, probability, rng)

    validate(child)
    assert child in space


def test_crossover_takes_from_each_parent_half_of_the_edges():
    rng = np.random.default_rng(0)
    a, b = Genotype.of(["top_down"] * 15), Genotype.of(["bottom_up"] * 15)

    taken = sum(path is PathType.TOP_DOWN for _ in range(1000) for path in crossover(a, b, rng).paths)

    assert taken == pytest.approx(7500, abs=4 * (15000 / 4) ** 0.5)


def test_each_edge_mutates_with_the_given_probability_to_each_other_path_alike():
    rng = np.random.default_rng(0)
    space, parent = SearchSpace(), Genotype.of(["top_down"] * 15)

    counts = Counter(path for _ in range(2000) for path in mutate(parent, space, 0.1, rng).paths)

    assert set(counts) == set(PAPER_PATHS)
    for path in set(PAPER_PATHS) - {PathType.TOP_DOWN}:
        assert counts[path] == pytest.approx(600, abs=4 * 600**0.5)


def test_mutation_without_probability_changes_nothing_and_with_certainty_everything():
    rng = np.random.default_rng(0)
    space = SearchSpace()
    parent = sample(space, rng)

    assert mutate(parent, space, 0, rng) == parent
    assert not any(old is new for old, new in zip(parent.paths, mutate(parent, space, 1, rng).paths, strict=True))


def test_samples_are_uniform_over_the_valid_genotypes():
    rng = np.random.default_rng(0)
    space = SearchSpace(2, paths=(PathType.TOP_DOWN, PathType.NONE))

    counts = Counter(sample(space, rng) for _ in range(6000))

    assert len(counts) == 6  # of 2**3, the two without an edge out of node 0 are dead
    assert all(count == pytest.approx(1000, abs=120) for count in counts.values())


def test_where_no_child_is_alive_the_parent_stands(monkeypatch):
    monkeypatch.setattr(operators, "MAX_REDRAWS", 20)
    space = SearchSpace(1, paths=(PathType.SKIP_CONNECT, PathType.NONE))
    parent = Genotype.of(["skip_connect"])

    assert mutate(parent, space, 1.0, np.random.default_rng(0)) == parent


def test_sampling_gives_up_on_a_space_that_is_dead_almost_everywhere(monkeypatch):
    monkeypatch.setattr(operators, "MAX_REDRAWS", 20)
    space = SearchSpace(60, SpaceKind.CHAIN, (PathType.SKIP_CONNECT, PathType.NONE))

    with pytest.raises(InfeasibleError, match="no live output in 20 random genotypes"):
        sample(space, np.random.default_rng(0))
