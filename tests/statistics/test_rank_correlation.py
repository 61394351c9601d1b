"""Rank correlations, against pairs counted one by one."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opanas_cli.statistics.estimate import bootstrapped
from opanas_cli.statistics.rank_correlation import kendall, kendall_at_equal_cost, pairs_of_equal_cost, spearman

values = st.lists(st.tuples(*[st.integers(0, 5)] * 2, st.integers(90, 110)), min_size=2, max_size=9)


def sign(value: float) -> int:
    return (value > 0) - (value < 0)


@given(values)
def test_kendall_at_equal_cost_counts_the_pairs_of_like_cost(rows):
    first, second, costs = zip(*rows, strict=True)
    pairs = [
        (sign(first[i] - first[j]), sign(second[i] - second[j]))
        for i, j in itertools.combinations(range(len(rows)), 2)
        if abs(costs[i] - costs[j]) <= 0.05 * max(costs[i], costs[j])
    ]
    untied = math.sqrt(sum(a != 0 for a, _ in pairs) * sum(b != 0 for _, b in pairs))
    found = kendall_at_equal_cost(first, second, costs)
    if untied:
        assert found == pytest.approx(sum(a * b for a, b in pairs) / untied)
    else:
        assert math.isnan(found)


@given(values)
def test_at_any_cost_it_is_kendalls_tau(rows):
    first, second, _ = zip(*rows, strict=True)
    expected = kendall(first, second)
    assert kendall_at_equal_cost(first, second, np.ones(len(rows))) == pytest.approx(expected, nan_ok=True)


def test_known_figures():
    assert kendall([1, 2, 3, 4], [1, 3, 2, 4]) == pytest.approx(4 / 6)
    assert spearman([1, 2, 3, 4], [1, 3, 2, 4]) == pytest.approx(0.8)
    assert spearman([1, 2, 3], [10, 100, 1000]) == pytest.approx(1)
    assert math.isnan(spearman([1, 1, 1], [1, 2, 3]))
    assert pairs_of_equal_cost(np.array([100.0, 95.0, 94.0])).tolist() == [
        [False, True, False],
        [False, False, True],
        [False, False, False],
    ]


def test_an_interval_narrows_with_the_number_of_rows_and_holds_the_value():
    rng = np.random.default_rng(1)
    widths = []
    for count in (10, 100):
        first = rng.normal(size=count)
        estimate = bootstrapped(kendall, [first, first + rng.normal(size=count)])
        assert -1 <= estimate.low < estimate.value < estimate.high <= 1
        widths.append(estimate.high - estimate.low)
    assert widths[1] < widths[0] / 2


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(2)
    covered = 0
    for _ in range(60):
        estimate = bootstrapped(lambda values: float(values.mean()), [rng.normal(size=40)])
        covered += estimate.low <= 0 <= estimate.high
    assert covered >= 50


def test_what_the_data_do_not_define_is_none_in_documents():
    constant = bootstrapped(kendall, [[1, 1, 1], [1, 2, 3]])
    assert constant.document() == {"value": None, "low": None, "high": None}
    assert str(constant) == "not defined"
    single = bootstrapped(lambda values: float(values.sum()), [[3.0]])
    assert single.document() == {"value": 3, "low": None, "high": None}
