"""Costs, and limits on them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opanas_cli.errors import UsageError
from opanas_cli.search import Constraints, Cost, Resource, parse_milliseconds, parse_quantity
from opanas_cli.search.cost import format_milliseconds, format_quantity


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


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("197G", 197_000_000_000),
        ("35.5M", 35_500_000),
        ("0.1K", 100),
        (".5g", 500_000_000),
        ("1T", 10**12),
        (" 7 ", 7),
        ("1.0005k", 1000),
        ("123.456789012345678G", 123_456_789_012),
    ],
)
def test_quantities_are_read_exactly(text, value):
    assert parse_quantity(text) == value


@pytest.mark.parametrize("text", ["", "G", "-1G", "0", "0.0M", "1e9", "197 Gigs", "1,5G", "inf", "nan", "1..2", "٣G"])
def test_what_is_no_quantity_is_refused(text):
    with pytest.raises(UsageError, match=r"e\.g\. 197G, but got") as error:
        parse_quantity(text)
    assert repr(text) in str(error.value)


@given(st.integers(1, 10**14))
def test_a_formatted_quantity_is_short_and_a_limit_that_the_value_meets(value):
    text = format_quantity(value)

    assert value <= parse_quantity(text) <= value * 1.001
    assert len(text) <= 6


def test_quantities_carry_over_to_the_next_suffix():
    assert [format_quantity(value) for value in (999, 1000, 999_999, 199_200_000_000)] == ["999", "1K", "1M", "199.2G"]


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [("50ms", 50.0), ("0.05 s", 50.0), ("500us", 0.5), (" 1.5S ", 1500.0), (".25ms", 0.25), ("0.1ms", 0.1)],
)
def test_durations_are_read_exactly(text, milliseconds):
    assert parse_milliseconds(text) == milliseconds


@pytest.mark.parametrize(
    "text", ["", "50", "ms", "-1ms", "0s", "0.0us", "1e3ms", "5 min", "nanms", "1,5ms", "9" * 400 + "s"]
)
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(UsageError, match=r"e\.g\. 50ms, but got") as error:
        parse_milliseconds(text)
    assert repr(text) in str(error.value)


@given(st.floats(1e-3, 1e6))
def test_a_formatted_duration_is_a_limit_that_the_value_meets(value):
    assert value <= parse_milliseconds(format_milliseconds(value)) <= value * 1.001


def test_formatted_durations_are_short():
    assert [format_milliseconds(value) for value in (50.0, 0.01, 41.23456, 1234.5)] == [
        "50ms",
        "0.01ms",
        "41.24ms",
        "1235ms",
    ]
