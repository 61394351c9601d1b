"""What a correlation says of networks whose figures are known."""

from __future__ import annotations

import numpy as np
import pytest

from opanas_cli.detection.experiments.correlating import correlation_of


def networks(seeds: int) -> list[dict[str, object]]:
    rng = np.random.default_rng(0)
    truth = np.linspace(0.3, 0.6, 30)
    return [
        {
            "genotype": f"g{place}",
            "macs": 1000 + place % 3 * 100,
            "params": 10,
            "super_net": float(true + rng.normal(0, 0.02)),
            "alone": [float(true + rng.normal(0, 0.01)) for _ in range(seeds)],
        }
        for place, true in enumerate(truth)
    ]


def test_figures_of_a_good_super_net_and_of_macs_that_say_nothing() -> None:
    found = correlation_of(networks(2))
    for name in ("kendall", "spearman", "kendall_at_equal_macs"):
        figures = found["super_net"][name]
        assert 0.7 < figures["low"] < figures["value"] < figures["high"] <= 1
    assert abs(found["macs"]["kendall"]["value"]) < 0.2
    assert found["macs"]["kendall_at_equal_macs"]["value"] is None
    assert found["pairs_of_equal_macs"] == 3 * 45
    assert found["noise"] == pytest.approx(0.01, rel=0.3)
    assert 0.9 < found["kendall_ceiling"]["value"] < 1
    assert [network["genotype"] for network in found["networks"]] == [f"g{place}" for place in range(30)]


def test_one_seed_tells_no_noise() -> None:
    found = correlation_of(networks(1))
    assert found["noise"] is None
    assert found["kendall_ceiling"] is None
