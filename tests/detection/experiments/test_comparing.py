"""What a comparison says of the rows of its trainings."""

from __future__ import annotations

from typing import Any

import pytest
from mmengine.config import Config

from opanas_cli.detection.experiments.comparing import _compared
from opanas_cli.detection.experiments.contenders import Contender


def row(name: str, seed: int, ap: float) -> dict[str, Any]:
    facts = {"network": name, "seed": seed, "genotype": None, "macs": 1, "params": 1, "seconds": None}
    return {**facts, "metrics": {"AP": ap}}


def test_the_mean_of_the_random_ones_is_of_those_that_were_drawn() -> None:
    figures = {"random-search": (0.6, 0.62), "random-1": (0.3, 0.4), "random-2": (0.5, 0.4), "fpn": (0.5, 0.51)}
    config = Config({})
    drawn = ("random-1", "random-2")
    networks = [Contender(name, config, None, drawn=name in drawn) for name in figures]
    rows = [row(name, seed, ap) for name, own in figures.items() for seed, ap in enumerate(own)]
    found = {one.name: one for one in _compared(config, networks, rows, "AP")}
    assert list(found) == [*figures, "random"]
    assert found["random-search"].figures == (0.6, 0.62)
    assert found["random"].figures == pytest.approx((0.4, 0.4))
    assert found["random"].difference is not None
    assert found["random"].difference.value == pytest.approx(0.21)
