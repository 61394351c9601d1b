"""Ageing evolution against a naive version, one child after the other."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import ToyEvaluator
from hypothesis import given, settings
from hypothesis import strategies as st

from opanas_cli.genotype import SearchSpace
from opanas_cli.genotype.liveness import prune
from opanas_cli.search import Constraints, Cost, History, RegularizedEvolution, StrategySettings, run_search
from opanas_cli.search.strategies.operators import mutate, sample

SPACE = SearchSpace(4)


def evaluated(strategy, constraints=Constraints()):  # noqa: B008 - immutable
    result = run_search(strategy, ToyEvaluator(), lambda genotype: Cost(1, 1), constraints, History())
    return result.evaluated


def naive(budget, seed, sample_size, batch=1):
    """The genotypes evaluated, in order, each with its parent's place; `batch` children share their living."""
    rng = np.random.default_rng(seed)
    known, everyone, parents = set(), [], []

    def new(genotype):
        fresh = prune(genotype) not in known
        known.add(prune(genotype))
        return fresh

    while len(everyone) < budget.population:
        genotype = sample(SPACE, rng)
        if new(genotype):
            everyone.append(genotype)
            parents.append(None)
    living = list(range(budget.population))
    while len(everyone) < budget.budget:
        children = []
        while len(children) < batch and len(everyone) < budget.budget:
            chosen = [living[place] for place in rng.choice(len(living), size=sample_size, replace=False)]
            parent = max(chosen, key=lambda place: (ToyEvaluator.fitness(everyone[place]), -place))
            child = mutate(everyone[parent], SPACE, budget.mutation_prob, rng)
            if new(child):
                children.append(len(everyone))
                everyone.append(child)
                parents.append(parent)
        living = [*living[len(children) :], *children]
    return everyone, parents


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**32 - 1), st.sampled_from([(8, 2, 1), (8, 2, 3), (8, 2, 8), (20, 5, 1), (20, 5, 7), (3, 2, 1)]))
def test_it_is_the_sequential_algorithm_when_a_batch_is_one_child_and_the_batched_one_else(seed, sizes):
    population, sample_size, batch = sizes
    budget = StrategySettings(population, generations=4)

    candidates = evaluated(RegularizedEvolution(SPACE, budget, seed, batch))

    genotypes, parents = naive(budget, seed, sample_size, batch)
    assert [candidate.genotype for candidate in candidates] == genotypes
    assert [next(iter(candidate.proposal.parents), None) for candidate in candidates] == parents


@pytest.mark.parametrize(("population", "size"), [(100, 25), (50, 12), (12, 3), (8, 2), (4, 2), (2, 2), (1, 1)])
def test_a_quarter_of_the_living_is_sampled_and_at_least_two(population, size):
    strategy = RegularizedEvolution(SPACE, StrategySettings(population), 0)

    assert strategy.sample_size == strategy.batch == size


def test_the_oldest_die_however_fit_they_are():
    candidates = evaluated(RegularizedEvolution(SPACE, StrategySettings(population=8, generations=6), 0))

    for candidate in candidates[8:]:
        (parent,) = candidate.proposal.parents
        assert candidate.index - 8 - 2 < parent < candidate.index


def test_a_batch_is_of_the_generation_of_the_populations_before_it(evaluator):
    candidates = evaluated(RegularizedEvolution(SPACE, StrategySettings(population=8, generations=3), 0))

    assert [candidate.proposal.generation for candidate in candidates] == [index // 8 for index in range(32)]
