"""Where the marks of charts are, and what is left out."""

from __future__ import annotations

import math
import re

import pytest

from opanas_cli.drawing.report.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Axis, Point, Series, chart
from opanas_cli.drawing.report.markup import cell, element

AXES = ("x", "y")


def centres(drawing: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r'<circle cx="([-\d.]+)" cy="([-\d.]+)"', drawing)]


def test_points_lie_where_their_numbers_say() -> None:
    drawing = chart(
        "c", AXES, [Series("one", [Point(0.0, 10.0, "low"), Point(1.0, 20.0, "high"), Point(0.5, 15.0, "")])]
    )
    (x0, y0), (x1, y1), middle = centres(drawing)
    assert (x1 - x0, y0 - y1) == pytest.approx(((WIDTH - LEFT - RIGHT) / 1.1, (HEIGHT - TOP - BOTTOM) / 1.1), abs=0.02)
    assert middle == pytest.approx(((x0 + x1) / 2, (y0 + y1) / 2), abs=0.01)


def test_equal_numbers_lie_in_the_middle() -> None:
    ((x, y),) = centres(chart("c", AXES, [Series("one", [Point(3.0, 0.0, "")])]))
    assert (x, y) == ((LEFT + WIDTH - RIGHT) / 2, (TOP + HEIGHT - BOTTOM) / 2)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 1.0], ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        ([0, 2], ["0", "1", "2"]),
        ([190.0, 205.0], ["190", "195", "200", "205"]),
        ([-3e9, 3e9], ["-3,000,000,000", "-2,000,000,000", "-1,000,000,000", "0", "1,000,000,000", "2,000,000,000",
                       "3,000,000,000"]),
    ],
)  # fmt: skip
def test_ticks_are_round(values: list[float], expected: list[str]) -> None:
    assert [text for _, text in Axis.of(values, 0, 100).ticks()] == expected


def test_numbers_that_are_not_finite_are_not_drawn() -> None:
    points = [Point(1.0, math.nan, ""), Point(math.inf, 1.0, ""), Point(1.0, 2.0, "kept")]
    assert len(centres(chart("c", AXES, [Series("one", points)]))) == 1
    assert "nothing to draw" in chart("c", AXES, [Series("one", points[:2])])


def test_a_limit_that_is_far_away_does_not_squeeze_the_points() -> None:
    series = [Series("one", [Point(100.0, 1.0, ""), Point(120.0, 2.0, "")])]
    near, far = (chart("c", AXES, series, (place, "most")) for place in (130.0, 1000.0))
    assert "most" in near
    assert far == chart("c", AXES, series)
    assert centres(far)[1][0] > centres(near)[1][0]


def test_elements_escape_what_is_not_markup() -> None:
    made = element("a", "<b>", element("i", "&"), title="\"'><", class_="x", data_row=None)
    assert made == '<a title="&quot;&#x27;&gt;&lt;" class="x">&lt;b&gt;<i>&amp;</i></a>'


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.123456, "0.1235"), (0.0, "0"), (2e-5, "2e-05"), (115.25, "115.2"), (7, "7"), (199_200_000_000, "199.2G")],
)
def test_numbers_are_shown_short_and_kept_whole(value: float, shown: str) -> None:
    assert cell(value) == f'<data value="{value}">{shown}</data>'


def test_what_is_not_there_is_a_dash() -> None:
    assert [cell(None), cell(math.nan), cell(True), cell("<")] == ["–", "nan", "True", "&lt;"]
