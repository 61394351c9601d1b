"""The noise of trainings, and differences between networks, on figures whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from opanas_cli.statistics.noise import kendall_ceiling, noise, spread
from opanas_cli.statistics.paired import paired_difference, verdict


def trainings(rng, count, true_sd, noise_sd, seeds=2):
    true = rng.normal(0, true_sd, count)
    return true, true[:, None] + rng.normal(0, noise_sd, (count, seeds))


def test_noise_and_spread_of_generated_trainings():
    rng = np.random.default_rng(0)
    _, groups = trainings(rng, 4000, true_sd=0.06, noise_sd=0.02)
    ragged = [*groups.tolist(), *[[one] for one in trainings(rng, 500, 0.06, 0.02, 1)[1][:, 0]]]
    assert noise(groups.tolist()) == pytest.approx(0.02, rel=0.05)
    assert spread(groups.tolist()) == pytest.approx(0.06, rel=0.05)
    assert spread(ragged) == pytest.approx(0.06, rel=0.05)
    assert math.isnan(noise([[0.1], [0.2]]))


def test_the_ceiling_is_the_tau_of_the_truth_itself():
    rng = np.random.default_rng(0)
    true, groups = trainings(rng, 400, true_sd=0.03, noise_sd=0.03)
    reached = stats.kendalltau(true, groups.mean(axis=1)).statistic
    ceiling = kendall_ceiling(groups.tolist())
    assert ceiling.low < reached < ceiling.high
    assert ceiling.value == pytest.approx(reached, abs=0.05)
    assert math.isnan(kendall_ceiling([[0.1], [0.2], [0.3]]).value)


def test_a_paired_difference_is_that_of_students_t():
    first, second = [0.52, 0.50, 0.55], [0.50, 0.47, 0.53]
    difference = paired_difference(first, second)
    expected = stats.ttest_rel(first, second).confidence_interval(0.95)
    assert (difference.low, difference.high) == pytest.approx((expected.low, expected.high))
    assert difference.value == pytest.approx(0.07 / 3)
    assert math.isnan(paired_difference([0.5], [0.4]).low)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([0.52, 0.50, 0.55], [0.50, 0.47, 0.53], "better by 0.023 ± 0.014"),
        ([0.50, 0.47, 0.53], [0.52, 0.50, 0.55], "worse by 0.023 ± 0.014"),
        ([0.52, 0.50, 0.40], [0.50, 0.47, 0.53], "no difference shown with 3 seeds"),
        ([0.9], [0.1], "one seed shows no difference; add seeds"),
    ],
)
def test_verdicts(first, second, expected):
    assert verdict(paired_difference(first, second), len(first)) == expected
