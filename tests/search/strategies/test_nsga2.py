"""NSGA-II's selection against naive loops, and what it finds."""

from __future__ import annotations

import math
import sys
from dataclasses import replace

import numpy as np
import pytest
from conftest import ToyEvaluator, toy_cost
from hypothesis import given, settings
from hypothesis import strategies as st

from opanas_cli.errors import MissingDependencyError
from opanas_cli.genotype import Genotype, SearchSpace
from opanas_cli.genotype.liveness import output_nodes, prune
from opanas_cli.search import (
    NSGA2,
    Candidate,
    Constraints,
    Cost,
    History,
    Proposal,
    RandomSearch,
    Resource,
    StrategySettings,
    run_search,
)
from opanas_cli.search.strategies.nsga2 import ParetoSelection

PROPOSAL = Proposal(Genotype.of(["top_down"]))


def candidates(values):
    return [Candidate(i, PROPOSAL, Cost(macs, 1000 - macs), fitness, {}) for i, (fitness, macs) in enumerate(values)]


def selection(against=Resource.MACS, seed=0):
    return ParetoSelection(against, np.random.default_rng(seed))


def dominates(one, other):
    no_worse = one.fitness >= other.fitness and one.cost.macs <= other.cost.macs
    return no_worse and (one.fitness > other.fitness or one.cost.macs < other.cost.macs)


def naive_fronts(everyone):
    """What nothing dominates, then what nothing of the rest dominates, and so on."""
    rest, fronts = list(everyone), []
    while rest:
        front = [one for one in rest if not any(dominates(other, one) for other in rest)]
        fronts.append(front)
        rest = [one for one in rest if one not in front]
    return fronts


def naive_crowding(front):
    """Deb et al. 2002, section III.B: the mean side of the rectangle between the neighbours; infinite at the ends."""
    distance = {one.index: 0.0 for one in front}
    for value in (lambda one: one.fitness, lambda one: one.cost.macs):
        ordered = sorted(front, key=value)
        span = value(ordered[-1]) - value(ordered[0])
        distance[ordered[0].index] = distance[ordered[-1].index] = math.inf
        for before, one, after in zip(ordered, ordered[1:], ordered[2:], strict=False):
            distance[one.index] += (value(after) - value(before)) / span
    return distance


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=30), st.integers(1, 35))
def test_better_fronts_survive_whole_even_where_many_are_equal(values, count):
    everyone = candidates(values)

    kept = {one.index for one in selection().keep(everyone, count)}

    assert len(kept) == min(count, len(everyone))
    room = count
    for front in naive_fronts(everyone):
        survivors = kept & {one.index for one in front}
        assert len(survivors) == min(room, len(front))
        room -= len(survivors)


@settings(deadline=None, max_examples=60)
@given(st.permutations(range(20)), st.permutations(range(20)), st.integers(1, 20), st.integers(0, 99))
def test_of_the_last_front_those_with_the_most_room_survive(fitness, macs, count, seed):
    everyone = candidates(list(zip(fitness, macs, strict=True)))

    kept = {one.index for one in selection(seed=seed).keep(everyone, count)}

    for front in naive_fronts(everyone):
        crowding = naive_crowding(front)
        survivors = [crowding[one.index] for one in front if one.index in kept]
        others = [crowding[one.index] for one in front if one.index not in kept]
        if survivors and others:
            assert min(survivors) >= max(others) - 1e-9


def test_parents_are_of_better_fronts_and_then_of_emptier_places():
    chosen = selection()
    # Two fronts: (0, 1, 2, 3) with 1 in a more crowded place than 2, and 4 behind them all.
    kept = chosen.keep(candidates([(10, 0), (11, 1), (15, 8), (20, 20), (0, 30)]), 5)
    wins = np.bincount([kept[chosen.choose(1)[0]].index for _ in range(600)], minlength=5)

    assert wins[4] == 0
    assert 0 < wins[1] < wins[2] < min(wins[0], wins[3])


def test_what_was_judged_on_a_part_of_the_images_survives_last():
    values = [(0.1, 50), (0.2, 60), (0.3, 90), (0.9, 1), (0.8, 2)]
    shares = [1.0, 1.0, 1.0, 0.25, 0.25]
    everyone = [replace(one, image_share=share) for one, share in zip(candidates(values), shares, strict=True)]

    assert {one.index for one in selection().keep(everyone, 3)} == {0, 1, 2}
    assert {one.index for one in selection().keep(everyone, 4)} == {0, 1, 2, 3}


def test_what_is_traded_is_the_settings_choice():
    everyone = candidates([(1, 0), (1, 9)])

    assert [one.index for one in selection(Resource.MACS).keep(everyone, 1)] == [0]
    assert [one.index for one in selection(Resource.PARAMS).keep(everyone, 1)] == [1]


def search(strategy):
    return run_search(strategy, ToyEvaluator(), toy_cost, Constraints(), History())


@pytest.mark.parametrize("seed", range(3))
def test_the_front_of_a_search_is_what_nothing_evaluated_dominates(seed):
    result = search(NSGA2(SearchSpace(3), StrategySettings(10, 5), seed))

    expected = [one for one in result.evaluated if not any(dominates(other, one) for other in result.evaluated)]
    assert sorted(result.front, key=lambda one: one.index) == expected


@pytest.fixture(scope="module")
def best_at():
    """The greatest fitness of the space of three nodes at each number of MACs."""
    best = {}
    for genotype in map(prune, filter(output_nodes, SearchSpace(3))):
        macs = toy_cost(genotype).macs
        best[macs] = max(best.get(macs, 0.0), ToyEvaluator.fitness(genotype))
    return best


@pytest.mark.parametrize("seed", range(3))
def test_it_comes_closer_to_the_front_of_an_enumerated_space_than_random_search(best_at, seed):
    space, budget = SearchSpace(3), StrategySettings(20, 14)

    def shortfall(result):
        """How much fitness is missing at each number of MACs, in the mean."""
        front = result.front
        missing = [
            best - max((one.fitness for one in front if one.cost.macs <= macs), default=0.0)
            for macs, best in best_at.items()
        ]
        assert min(missing) >= 0
        return sum(missing) / len(missing)

    found, guessed = (search(strategy(space, budget, seed)) for strategy in (NSGA2, RandomSearch))

    assert shortfall(found) < shortfall(guessed) / 2


def test_without_pymoo_the_way_out_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "pymoo.core.problem", None)

    with pytest.raises(MissingDependencyError, match=r"nsga2 needs pymoo.*pip install 'opanas\[nsga2\]'") as error:
        NSGA2(SearchSpace(), StrategySettings(), 0)
    assert error.value.exit_code == 4
