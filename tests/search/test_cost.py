"""Costs, and limits on them."""

from __future__ import annotations

import pytest

from opanas_cli.errors import UsageError
from opanas_cli.search import Constraints, Cost, Resource


def test_limits_are_inclusive_and_all_hold():
    cost = Cost(macs=10, params=5, latency_ms=2.5)

    assert Constraints().satisfied(cost)
    assert Constraints(10, 5, 2.5).satisfied(cost)
    assert not Constraints(max_macs=9).satisfied(cost)
    assert not Constraints(max_macs=11, max_params=4).satisfied(cost)
    assert not Constraints(max_macs=11, max_latency_ms=2.4).satisfied(cost)


def test_limits_say_what_they_are():
    limits = Constraints(197_000_000_000, 36_000_000, 50.0)

    assert str(limits) == "at most 197G MACs and at most 36M parameters and at most 50ms of latency"
    assert str(Constraints(max_latency_ms=0.5)) == "at most 0.5ms of latency"


def test_a_cost_tells_each_resource_and_leaves_out_what_is_not_known():
    cost = Cost(10, 5, 2.5)

    assert [cost.of(resource) for resource in Resource] == [10, 5, 2.5]
    assert cost.document() == {"macs": 10, "params": 5, "latency_ms": 2.5}
    assert Cost(10, 5).document() == {"macs": 10, "params": 5}


def test_a_latency_that_counts_must_be_known():
    with pytest.raises(UsageError, match="no latency table was measured"):
        Constraints(max_latency_ms=1.0).satisfied(Cost(10, 5))
    assert Constraints(max_macs=10).satisfied(Cost(10, 5))
