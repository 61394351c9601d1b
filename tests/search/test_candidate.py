"""The Pareto front, against the definition."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opanas_cli.errors import UsageError
from opanas_cli.genotype import Genotype
from opanas_cli.search import Candidate, Cost, Proposal, Resource
from opanas_cli.search.candidate import pareto_front

PROPOSAL = Proposal(Genotype.of(["top_down"]))

# Few different values, so that many candidates are equal in one or both.
places = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(0, 6)), max_size=30)


def candidates(values):
    return [
        Candidate(index, PROPOSAL, Cost(macs, 100 - macs, latency / 2), fitness / 6, {})
        for index, (fitness, macs, latency) in enumerate(values)
    ]


def dominates(one, other, against):
    no_worse = one.fitness >= other.fitness and one.cost.of(against) <= other.cost.of(against)
    return no_worse and (one.fitness > other.fitness or one.cost.of(against) < other.cost.of(against))


@given(places, st.sampled_from(Resource))
def test_the_front_is_what_nothing_dominates(values, against):
    everyone = candidates(values)

    front = pareto_front(everyone, against)

    expected = [one for one in everyone if not any(dominates(other, one, against) for other in everyone)]
    assert sorted(front, key=lambda candidate: candidate.index) == expected
    assert list(front) == sorted(front, key=lambda candidate: candidate.cost.of(against))
    assert pareto_front(reversed(everyone), against) == front


def test_what_was_judged_on_a_part_of_the_images_is_not_of_the_front():
    whole = Candidate(0, PROPOSAL, Cost(5, 5), 0.3, {})
    partly = Candidate(1, PROPOSAL, Cost(1, 1), 0.9, {}, 0.25)

    assert pareto_front([whole, partly], Resource.MACS) == (whole,)
    assert pareto_front([partly], Resource.MACS) == (partly,)


def test_a_front_against_latency_needs_latencies():
    with pytest.raises(UsageError, match="no latency table"):
        pareto_front([Candidate(0, PROPOSAL, Cost(1, 1), 0.5, {})], Resource.LATENCY)
