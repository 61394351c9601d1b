from itertools import pairwise
from math import dist

import pytest

from opanas_cli.drawing.arcs import ABOVE, BELOW, RADIUS, SPACING, arc, arrow_head, height, point_on

STEPS = [step / 200 for step in range(201)]


@pytest.mark.parametrize("side", [ABOVE, BELOW])
@pytest.mark.parametrize("longest", range(1, 13))
def test_no_arc_runs_through_a_node(longest: int, side: int) -> None:
    for span in range(1, longest + 1):
        curve = [point_on(arc(0.0, span, longest, side), t) for t in STEPS]
        for node in range(span + 1):
            assert min(dist(point, (node * SPACING, 0)) for point in curve) > RADIUS - 1e-6
        for node in range(1, span):
            assert min(dist(point, (node * SPACING, 0)) for point in curve) > RADIUS + 0.08


@pytest.mark.parametrize("side", [ABOVE, BELOW])
def test_arcs_end_on_the_rims_and_top_out_at_their_height(side: int) -> None:
    for span in range(1, 9):
        points = arc(2.0, span, 8, side)
        assert dist(points[0], (2.0, 0)) == pytest.approx(RADIUS)
        assert dist(points[3], (2.0 + span * SPACING, 0)) == pytest.approx(RADIUS)
        assert point_on(points, 0.5) == pytest.approx((2.0 + span * SPACING / 2, side * height(span, side)))


def test_labels_never_meet() -> None:
    """Labels sit at the tops of the arcs; a label is at most 0.4 by 0.15 inches."""
    tops = [
        point_on(arc(source * SPACING, target - source, 12, ABOVE), 0.5)
        for source in range(13)
        for target in range(source + 1, 13)
    ]
    for index, (x, y) in enumerate(tops):
        assert all(abs(x - other_x) > 0.45 or abs(y - other_y) > 0.2 for other_x, other_y in tops[:index])


@pytest.mark.parametrize("longest", [2, 5, 8])
def test_arrows_fan_out(longest: int) -> None:
    starts = [arc(0.0, span, longest, ABOVE)[0] for span in range(1, longest + 1)]
    assert all(later[1] > earlier[1] and dist(earlier, later) > 0.03 for earlier, later in pairwise(starts))


def test_an_arrow_head_points_where_the_curve_goes() -> None:
    tip, left, right = arrow_head([(0, 0), (0, 0), (0, 0), (2, 0)])
    assert tip == (2, 0)
    assert left[0] == right[0] < 2
    assert left[1] == -right[1] > 0
