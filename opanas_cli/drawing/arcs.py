"""Where the arrows of a figure run. All lengths are inches.

Nodes stand in a row at distance `SPACING`. An arc's height depends only on how many nodes it spans, so the tops of
the arcs, where the labels are, lie on a triangular grid and never meet, however many nodes there are. Longer arcs
leave more steeply, so that arrows fan out of a node and none runs through another.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import cos, hypot, radians, sin, tan

SPACING = 1.15
RADIUS = 0.23
"""Of a node."""

ABOVE, BELOW = 1, -1
RISE = {ABOVE: 0.42, BELOW: 0.22}
"""What one more node to span adds to the height; the arcs above are taller because they carry labels."""
CLEARANCE = 0.16
"""By how much more than a node's centre line the flattest arcs rise."""
HEAD_LENGTH, HEAD_WIDTH = 0.11, 0.1
FLATTEST, STEEPEST = 32.0, 84.0
"""Degrees at which the arcs over two nodes and over the whole row leave."""

Point = tuple[float, float]


def arc(start: float, span: int, longest: int, side: int) -> tuple[Point, Point, Point, Point]:
    """The control points of a cubic curve from the rim of the node at `start` to the rim of the one `span` nodes on.

    The row lies at height 0, `longest` is the largest span in it; `side` is `ABOVE` or `BELOW`.
    """
    end = start + span * SPACING
    if span == 1:
        third = (SPACING - 2 * RADIUS) / 3
        return (start + RADIUS, 0), (start + RADIUS + third, 0), (end - RADIUS - third, 0), (end - RADIUS, 0)
    angle = radians(FLATTEST + (STEEPEST - FLATTEST) * (span - 2) / max(longest - 2, 1))
    dx, dy = RADIUS * cos(angle), RADIUS * sin(angle)
    rise = (4 * height(span, side) - dy) / 3
    reach = rise / tan(angle)
    return (start + dx, side * dy), (start + reach, side * rise), (end - reach, side * rise), (end - dx, side * dy)


def height(span: int, side: int) -> float:
    """How far the middle of an arc over `span` nodes is from the row."""
    return (span - 1) * RISE[side] + CLEARANCE if span > 1 else 0.0


def point_on(points: Sequence[Point], t: float) -> Point:
    """The point of a cubic curve at parameter `t` in [0, 1]."""
    weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3)
    x, y = (sum(weight * point[axis] for weight, point in zip(weights, points, strict=True)) for axis in (0, 1))
    return x, y


def arrow_head(points: Sequence[Point]) -> tuple[Point, Point, Point]:
    """The triangle at the end of a cubic curve: its tip, which is the curve's end, and the two corners of its base."""
    (from_x, from_y), (x, y) = points[-2:]
    length = hypot(x - from_x, y - from_y)
    dx, dy = (x - from_x) / length, (y - from_y) / length
    base_x, base_y = x - HEAD_LENGTH * dx, y - HEAD_LENGTH * dy
    half = HEAD_WIDTH / 2
    return (x, y), (base_x - half * dy, base_y + half * dx), (base_x + half * dy, base_y - half * dx)
