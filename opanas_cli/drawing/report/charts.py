"""Charts as SVG: points and lines with axes, and matrices with a cell for each edge of a space.

Each mark has a `title`, which browsers show on hover and screen readers read. Colours come from the page's style.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from opanas_cli.drawing.report.markup import MOST_ROWS, Html, element, is_number, joined, paragraph
from opanas_cli.genotype.edges import Edge

WIDTH, HEIGHT = 760, 330
LEFT, RIGHT, TOP, BOTTOM = 70, 16, 24, 46
HEADER = 26
"""Room for the names of nodes beside a matrix."""


class Point(NamedTuple):
    """A mark of a chart: its place, what it says on hover, the id of its row in the table, and more classes."""

    x: float
    y: float
    title: str
    row: str | None = None
    classes: str = ""


class Series(NamedTuple):
    """Marks of one colour; `is_line` joins them."""

    name: str
    points: Sequence[Point]
    is_line: bool = False


class Axis(NamedTuple):
    """The numbers from `low` to `high`, drawn from pixel `start` to `end`; `is_whole` if there are only whole ones."""

    low: float
    high: float
    start: float
    end: float
    is_whole: bool = False

    @classmethod
    def of(cls, values: Sequence[float], start: float, end: float) -> Axis:
        """An axis with a margin around all values."""
        low, high = min(values), max(values)
        margin = (high - low) * 0.05 or abs(high) * 0.05 or 0.05
        return cls(low - margin, high + margin, start, end, all(isinstance(value, int) for value in values))

    def at(self, value: float) -> float:
        """The pixel of a value."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self) -> list[tuple[float, str]]:
        """Some four to ten round numbers, with their text."""
        rough = (self.high - self.low) / 8
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
        step = max(step, 1.0) if self.is_whole else step
        digits = max(0, -math.floor(math.log10(step) + 1e-9))
        first = math.ceil(self.low / step - 1e-9)
        values = [number * step for number in range(first, math.floor(self.high / step + 1e-9) + 1)]
        return [(value, f"{value:,.{digits}f}") for value in values]


def chart(label: str, axes: tuple[str, str], series: Iterable[Series], limit: tuple[float, str] | None = None) -> Html:
    """Points and lines over two axes.

    Args:
        label: what the chart shows, for screen readers.
        axes: what is on the horizontal and on the vertical one.
        limit: where a vertical line is, with its name; left out if it is far from all points.
    """
    kept = [
        one._replace(points=[point for point in one.points if is_number(point.x) and is_number(point.y)][:MOST_ROWS])
        for one in series
    ]
    points = [point for one in kept for point in one.points]
    if not points:
        return paragraph("There is nothing to draw yet.", kind="missing")
    limits = [limit] if limit and limit[0] <= 1.5 * max(point.x for point in points) else []
    x = Axis.of([*(point.x for point in points), *(value for value, _ in limits)], LEFT, WIDTH - RIGHT)
    y = Axis.of([point.y for point in points], HEIGHT - BOTTOM, TOP)
    marks = (_series(one, place, x, y) for place, one in enumerate(kept))
    drawing = _svg(
        label, WIDTH, HEIGHT, [_axes(axes, x, y), *(_limit(x.at(value), name) for value, name in limits), *marks]
    )
    return joined([drawing, legend({one.name: f"s{place}" for place, one in enumerate(kept)} if kept[1:] else {})])


def _svg(label: str, width: float, height: float, parts: Iterable[str]) -> Html:
    """A drawing that takes the keyboard's focus once; the page's script then moves among the marks."""
    return element(
        "svg", *parts, viewBox=f"0 0 {width:.0f} {height:.0f}", class_="chart", role="group", aria_label=label,
        tabindex=0, style=f"max-width: {width:.0f}px",
    )  # fmt: skip


def _axes(names: tuple[str, str], x: Axis, y: Axis) -> Html:
    parts = []
    for value, text in x.ticks():
        parts.append(element("line", class_="rule", x1=x.at(value), x2=x.at(value), y1=y.end, y2=y.start))
        parts.append(element("text", text, x=x.at(value), y=y.start + 16, text_anchor="middle"))
    for value, text in y.ticks():
        parts.append(element("line", class_="rule", x1=x.start, x2=x.end, y1=y.at(value), y2=y.at(value)))
        parts.append(element("text", text, x=x.start - 6, y=y.at(value) + 4, text_anchor="end"))
    parts.append(element("text", names[0], class_="axis", x=x.end, y=HEIGHT - 8, text_anchor="end"))
    parts.append(element("text", names[1], class_="axis", x=4, y=14))
    return element("g", *parts, aria_hidden="true")


def _limit(place: float, name: str) -> Html:
    line = element("line", x1=place, x2=place, y1=TOP, y2=HEIGHT - BOTTOM)
    text = element("text", name, x=place - 4, y=TOP + 10, text_anchor="end")
    return element("g", line, text, class_="limit")


def _series(series: Series, place: int, x: Axis, y: Axis) -> Html:
    places = [(x.at(point.x), y.at(point.y)) for point in series.points]
    parts = []
    if series.is_line:
        parts.append(element("polyline", points=Html(" ".join(f"{left:.1f},{top:.1f}" for left, top in places))))
    for point, (left, top) in zip(series.points, places, strict=True):
        title = element("title", point.title)
        radius = 2.5 if series.is_line else 4
        parts.append(
            element("circle", title, cx=left, cy=top, r=radius, class_=f"mark {point.classes}", data_row=point.row)
        )
    return element("g", *parts, class_=f"s{place}")


def legend(entries: Mapping[str, str]) -> Html:
    """Names, each with a square of its class or of its colour."""
    swatches = {name: {"style": f"background: {kind}"} if kind[:1] == "#" else {"class_": kind}
                for name, kind in entries.items()}  # fmt: skip
    spans = (element("span", element("i", **swatch), name) for name, swatch in swatches.items())
    return paragraph(*spans, kind="legend")


def matrix(
    label: str, edges: Sequence[Edge], size: tuple[float, float], cell: Callable[[Edge, float, float], Iterable[str]]
) -> Html:
    """A cell for each edge, in the row of its source and the column of its target.

    Args:
        size: the width and the height of a cell.
        cell: the marks of an edge, given the cell's left and top.
    """
    last = max(edge.target for edge in edges)
    width, height = size
    parts: list[str] = []
    for node in range(last + 1):
        name = f"x{node}" if node else "P"
        if node:
            middle = HEADER + (node - 0.5) * width
            parts.append(element("text", name, x=middle, y=HEADER - 8, text_anchor="middle"))
        if node < last:
            parts.append(element("text", name, x=HEADER - 6, y=HEADER + (node + 0.5) * height, text_anchor="end"))
    for edge in edges:
        parts += cell(edge, HEADER + (edge.target - 1) * width, HEADER + edge.source * height)
    return _svg(label, HEADER + last * width, HEADER + last * height, parts)


def bar(
    title: str, box: tuple[float, float, float, float], kind: str, fill: str | None = None, **attributes: float
) -> Html:
    """A rectangle (left, top, width, height) of a class that says something on hover."""
    left, top, width, height = box
    content = element("title", title)
    return element("rect", content, x=left, y=top, width=width, height=height, class_=f"mark {kind}", fill=fill,
                   **attributes)  # fmt: skip
