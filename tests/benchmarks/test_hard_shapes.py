"""The hard images of the ground truth."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from opanas_cli.detection.data.shapes import generate_shapes

PROGRAMS = Path(__file__).parents[2] / "benchmarks"


def test_hard_shapes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(PROGRAMS))
    from hard_shapes import CLASSES, HARD_SHAPES, draw_image

    drawn = [draw_image(np.random.default_rng(seed)) for seed in range(40)]
    sides = [box[2] - box[0] for _, objects in drawn for _, box in objects]
    assert min(sides) < 8
    assert max(sides) > 80
    assert {label for _, objects in drawn for label, _ in objects} == set(range(len(CLASSES)))
    generate_shapes(tmp_path, 2, 1, kind=HARD_SHAPES)
    document = json.loads((tmp_path / "annotations" / "train.json").read_text())
    assert [category["name"] for category in document["categories"]] == list(CLASSES)
    assert document["info"]["description"] == "opanas hard shapes"
