"""What fits a budget, against sums made by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from opanas_cli.errors import UsageError
from opanas_cli.search.budget import Images, Pace, Plan, fitted, parse_duration, trained_enough
from opanas_cli.stage_settings import RetrainSection, SearchSection, SuperNetSection

IMAGES = Images(supernet=1600, search=400, retrain=2000, test=100, classes=3)
BASE = Plan(
    IMAGES,
    SuperNetSection(image_scale=(320, 320), batch_size=8, epochs=16, milestones=(8, 12)),
    SearchSection(population=24, generations=4, top_k=8),
    RetrainSection(image_scale=(320, 320), batch_size=10, epochs=12, milestones=(8, 11)),
)
PACE = Pace(supernet=1.0, search=0.01, retrain=0.2, half=0.4)
WHOLE = 16 * 200 * 8 * 1.0 + 24 * 5 * 200 * 0.01 + 12 * 200 * 10 * 0.2 + 100 * 0.2
"""25,600 + 240 + 4,800 + 20 seconds; candidates are evaluated on 200 of the 400 images."""


def settings(plan: Plan) -> dict[str, Any]:
    """What a plan may change."""
    supernet, search, retrain = plan.supernet, plan.search, plan.retrain
    return {
        "scale": supernet.image_scale,
        "epochs": supernet.epochs,
        "fraction": supernet.data_fraction,
        "candidates": (search.population, search.generations),
        "finalists": search.finalists,
        "retrain": (retrain.image_scale, retrain.epochs),
    }


FULL = {
    "scale": (320, 320),
    "epochs": 16,
    "fraction": 1.0,
    "candidates": (24, 4),
    "finalists": 1,
    "retrain": ((320, 320), 12),
}


@pytest.mark.parametrize(
    ("seconds", "changed"),
    [
        (WHOLE, {}),
        (10 * WHOLE, {}),
        # 24 candidates fewer: 24 × 200 × 0.01 = 48 s. Generations stay, and become smaller: 96 // 5 = 19.
        (WHOLE - 48, {"candidates": (19, 4)}),
        # The least of a search, 12 × 4, takes 96 s: 144 s less than the whole.
        (WHOLE - 144, {"candidates": (12, 3)}),
        # A second less takes one of the 200 steps from each epoch: 199 × 8 / 1600. What it leaves, 127 s, is 63
        # candidates: 48 + 63 = 111 in 5 generations are 22 each.
        (WHOLE - 145, {"fraction": 0.995, "candidates": (22, 4)}),
        # 1,400 steps in 16 epochs are 88 steps of 8 images: 0.44 of the images.
        (16 * 88 * 8 + 96 + 4820, {"fraction": 0.44, "candidates": (12, 3)}),
        # At 0.8: 0.4 + 0.6 × (0.64 − 0.25) / 0.75 = 0.712 of the seconds.
        (
            0.712 * (16 * 88 * 8 + 96 + 4820) + 1e-6,
            {
                "scale": (256, 256),
                "fraction": 0.44,
                "candidates": (12, 3),
                "retrain": ((256, 256), 12),
            },
        ),
    ],
)
def test_what_fits(seconds: float, changed: dict[str, Any]) -> None:
    plan = fitted(BASE, PACE, seconds)
    assert settings(plan) == {**FULL, **changed}
    assert plan.seconds(PACE) <= seconds + 1e-6
    assert plan.search.max_images == 200


def test_the_sums() -> None:
    plan = fitted(BASE, PACE, WHOLE)
    assert [(one.stage, one.factors) for one in plan.sums(PACE)] == [
        ("train-supernet", "16 epochs × 200 steps × 8 s"),
        ("evolve", "24 × 5 candidates × 200 images × 0.01 s"),
        ("retrain", "12 epochs × 200 steps × 2 s"),
        ("test", "100 images × 0.2 s"),
    ]
    assert [one.seconds for one in plan.sums(PACE)] == pytest.approx([25600, 240, 4800, 20])
    assert plan.seconds(PACE) == pytest.approx(WHOLE)


def test_watching_is_in_the_sums_and_images_of_several_sizes_do_not_shrink() -> None:
    watched = replace(BASE, supernet=replace(BASE.supernet, watch_interval=3, watch_sub_nets=10))
    (found,) = (one for one in watched.sums(PACE) if one.stage == "watching")
    assert found.factors == "6 times × 10 sub-nets × 400 images × 0.01 s"
    assert found.seconds == pytest.approx(240)
    for retrain in (replace(BASE.retrain, image_scale=None), replace(BASE.retrain, train_scales=((64, 64), (96, 96)))):
        plan = fitted(replace(BASE, retrain=retrain), PACE, 1.0)
        assert (plan.scale, plan.supernet.image_scale) == (1.0, (320, 320))


FINALISTS = 48 * 160 * 10 * 0.2 + 14 * 400 * 0.2
"""Eight for 3 epochs, four for 3 more, and two for 6 more: 24 + 12 + 12 epochs of 1,600 images; 8 + 4 + 2 tests."""

TWO_FINALISTS = 2 * 12 * 160 * 10 * 0.2 + 2 * 400 * 0.2


@pytest.mark.parametrize(
    ("seconds", "changed"),
    [
        (WHOLE + FINALISTS, {"finalists": 8}),
        # Finalists come before more images for the super-net: a second less takes a step of each epoch.
        (WHOLE + FINALISTS - 145, {"finalists": 8, "fraction": 0.995, "candidates": (22, 4)}),
        (16 * 88 * 8 + 96 + 4820 + FINALISTS, {"finalists": 8, "fraction": 0.44, "candidates": (12, 3)}),
        (16 * 88 * 8 + 96 + 4820 + TWO_FINALISTS, {"finalists": 2, "fraction": 0.44, "candidates": (12, 3)}),
    ],
)
def test_as_many_finalists_as_fit(seconds: float, changed: dict[str, Any]) -> None:
    plan = fitted(replace(BASE, search=replace(BASE.search, finalists=8)), PACE, seconds + 1e-6)
    assert settings(plan) == {**FULL, **changed}


def test_the_sum_of_the_finalists() -> None:
    (found,) = (one for one in replace(BASE, search=SearchSection(finalists=8)).sums(PACE) if one.stage == "finalists")
    assert found.factors == "48 epochs × 160 steps × 2 s + 14 tests × 400 images × 0.2 s"
    assert found.seconds == pytest.approx(FINALISTS)


def test_a_budget_that_is_too_small_gets_the_shortest_plan() -> None:
    plan = fitted(BASE, PACE, 1.0)
    assert settings(plan) == {
        "scale": (160, 160),
        "epochs": 16,
        "fraction": 0.44,
        "candidates": (12, 3),
        "finalists": 1,
        "retrain": ((160, 160), 12),
    }
    # Half of the sides take 0.4 of the seconds, as measured.
    assert plan.seconds(PACE) == pytest.approx(0.4 * (16 * 88 * 8 + 96 + 4820))
    assert settings(fitted(BASE, PACE, plan.seconds(PACE) + 1e-6)) == settings(plan)


def test_few_images_get_the_epochs_that_it_takes() -> None:
    """26 images in batches of 8 are 4 steps, and 1,400 steps 350 epochs; 32 in batches of 10 the same."""
    base = replace(BASE, images=Images(26, 6, 32, 8, 1))
    for plan in (trained_enough(base), fitted(base, PACE, 1e9), fitted(base, PACE, 1.0)):
        assert (plan.supernet.epochs, plan.supernet.milestones) == (350, (175, 262))
        assert (plan.retrain.epochs, plan.retrain.milestones) == (350, (233, 321))
        assert plan.supernet.data_fraction == 1.0
        assert plan.search.max_images is None
    assert trained_enough(BASE) == BASE


def test_images_of_unknown_size_are_left_as_they_are() -> None:
    base = replace(BASE, supernet=replace(BASE.supernet, image_scale=None))
    plan = fitted(base, PACE, 1.0)
    assert (plan.scale, plan.supernet.image_scale, plan.retrain.image_scale) == (1.0, None, (320, 320))


@pytest.mark.parametrize(
    ("text", "seconds"), [("8h", 28800), ("90m", 5400), ("1.5 min", 90), ("20s", 20), ("2d", 172800)]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "8", "h", "-1h", "0h", "8 hours", "1e3h", "infh"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(UsageError, match="with a unit s, m, h or d"):
        parse_duration(text)
