"""Figures (SVG, PNG, PDF) by matplotlib: nodes in a row, information paths as arcs above it, the output's sum below.

The axes are measured in inches from the lower left corner.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from opanas_cli.drawing.arcs import ABOVE, BELOW, RADIUS, SPACING, arc, arrow_head, height, point_on
from opanas_cli.drawing.diagram import DIFFERS, FADED, HIGHLIGHT, INK, SUM, WIDEST, Arrow, Diagram
from opanas_cli.drawing.style import opanas_style, save
from opanas_cli.genotype import PathType, information_paths

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARGIN = 0.3
TITLE_HEIGHT = 0.72
MIN_WIDTH = 4.6
LEGEND_ROW = 0.26
LEGEND_SAMPLE = 0.32
WEIGHT = 1.8
"""Points of the usual width of a line."""
BAND = 6.0
"""Points by which the band behind an edge that differs is wider than its line."""
SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def save_figure(diagrams: Sequence[Diagram], path: Path, suffix: str) -> None:
    """Write a figure with one panel per diagram to `path`; `suffix` (.svg, .png or .pdf) decides on the format.

    The same diagrams give the same bytes with the same matplotlib.
    """
    with opanas_style():
        save(_figure(diagrams), path, suffix)


class Panel(NamedTuple):
    """Room for one diagram: the row of nodes, and how far the arcs reach above and below it."""

    diagram: Diagram
    width: float
    above: float
    below: float

    @classmethod
    def of(cls, diagram: Diagram) -> Panel:
        """A panel just large enough."""
        width = (len(diagram.nodes) - 1) * SPACING + 2 * (RADIUS + MARGIN)
        reach = {ABOVE: RADIUS, BELOW: RADIUS}
        for arrow in diagram.arrows:
            reach[_side(arrow)] = max(reach[_side(arrow)], height(arrow.target - arrow.source, _side(arrow)) + 0.1)
        return cls(diagram, max(width, MIN_WIDTH), reach[ABOVE], reach[BELOW])


def _figure(diagrams: Sequence[Diagram]) -> Figure:
    """Panels in a grid, and one legend under them."""
    from matplotlib.figure import Figure

    panels = [Panel.of(diagram) for diagram in diagrams]
    column_width = max(panel.width for panel in panels)
    columns = _columns(panels, column_width)
    rows = [panels[start : start + columns] for start in range(0, len(panels), columns)]
    width = columns * column_width
    legend = _legend_rows(diagrams, width - 2 * MARGIN)
    legend_height = LEGEND_ROW * len(legend) + MARGIN
    total_height = sum(map(_row_height, rows)) + legend_height

    figure = Figure(figsize=(width, total_height), facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(0, total_height))
    axes.axis("off")
    top = total_height
    for row in rows:
        for column, panel in enumerate(row):
            _draw_title(axes, panel.diagram, (column + 0.5) * column_width, top, column_width)
            left = (column + 0.5) * column_width - (len(panel.diagram.nodes) - 1) * SPACING / 2
            _draw_diagram(axes, panel.diagram, left, top - TITLE_HEIGHT - max(panel.above for panel in row))
        top -= _row_height(row)
    _draw_legend(axes, legend, width / 2, legend_height - LEGEND_ROW / 2)
    return figure


def _row_height(row: Sequence[Panel]) -> float:
    return TITLE_HEIGHT + max(panel.above for panel in row) + max(panel.below for panel in row) + MARGIN


def _columns(panels: Sequence[Panel], column_width: float) -> int:
    """The number of columns that brings the grid closest to 4:3."""
    row_height = _row_height(panels)

    def distance(columns: int) -> float:
        return abs(columns * column_width / (ceil(len(panels) / columns) * row_height) - 4 / 3)

    return min(range(1, len(panels) + 1), key=distance)


def _draw_title(axes: Axes, diagram: Diagram, middle: float, top: float, width: float) -> None:
    style: dict[str, Any] = {"ha": "center", "va": "center", "parse_math": False}
    axes.text(middle, top - 0.29, _shortened(diagram.title, int(width * 7)), size=12, weight="bold", color=INK, **style)
    axes.text(middle, top - 0.5, diagram.caption, size=8, color=SUM, **style)


def _shortened(title: str, length: int) -> str:
    """A title of at most `length` characters, which keeps its two ends: those tell files apart."""
    half = (length - 1) // 2
    return title if len(title) <= length else f"{title[:half]}…{title[-half:]}"


def _draw_diagram(axes: Axes, diagram: Diagram, left: float, baseline: float) -> None:
    for arrow in diagram.arrows:
        _draw_arrow(axes, arrow, diagram.genotype.num_nodes, left, baseline)
    for place, node in enumerate(diagram.nodes):
        is_end = place in (0, len(diagram.nodes) - 1)
        _draw_node(axes, node.name, node.is_live, is_end, left + place * SPACING, baseline)


def _draw_node(axes: Axes, name: str, is_live: bool, is_end: bool, x: float, y: float) -> None:
    from matplotlib.patches import Circle

    ink = INK if is_live else FADED
    face, text = (ink, "white") if is_end else ("white", ink)
    dashes = "-" if is_live else (0, (3, 2))
    axes.add_patch(Circle((x, y), RADIUS, facecolor=face, edgecolor=ink, linewidth=1.4, linestyle=dashes, zorder=4))
    axes.text(x, y, name.translate(SUBSCRIPTS), size=11, color=text, ha="center", va="center_baseline", zorder=5)


def _draw_arrow(axes: Axes, arrow: Arrow, longest: int, left: float, baseline: float) -> None:
    from matplotlib.patches import PathPatch, Polygon
    from matplotlib.path import Path as Curve

    points = arc(left + arrow.source * SPACING, arrow.target - arrow.source, longest, _side(arrow))
    colour, dashes, weight = _stroke(arrow)
    order = 2 if arrow.is_live else 1
    line = [(x, baseline + y) for x, y in points]
    codes = [Curve.MOVETO, Curve.CURVE4, Curve.CURVE4, Curve.CURVE4]
    if arrow.differs:
        axes.add_patch(PathPatch(Curve(line, codes), fill=False, edgecolor=HIGHLIGHT, linewidth=weight + BAND,
                                 capstyle="butt", zorder=0.5))  # fmt: skip
    if arrow.path is not PathType.NONE:
        head = arrow_head(line)
        axes.add_patch(Polygon(head, facecolor=colour, edgecolor="none", zorder=order))
        line[-1] = (head[1][0] + head[2][0]) / 2, (head[1][1] + head[2][1]) / 2
    axes.add_patch(PathPatch(Curve(line, codes), fill=False, edgecolor=colour, linewidth=weight, linestyle=dashes,
                             capstyle="butt", zorder=order))  # fmt: skip
    if arrow.differs or arrow.path not in (None, PathType.NONE):
        x, y = point_on(points, 0.5)
        ink = INK if arrow.differs and not arrow.is_live else colour
        box = {"boxstyle": "round,pad=0.16", "facecolor": HIGHLIGHT if arrow.differs else "white", "edgecolor": "none"}
        axes.text(x, baseline + y, arrow.label, size=8, weight="bold" if arrow.is_live else "normal",
                  color=ink, ha="center", va="center_baseline", bbox=box, zorder=order + 0.5)  # fmt: skip


def _side(arrow: Arrow) -> int:
    return BELOW if arrow.path is None else ABOVE


def _stroke(arrow: Arrow) -> tuple[str, str | tuple[int, tuple[float, ...]], float]:
    """Colour, dashes and width of an arrow. What is dead is thin and grey whatever path it would carry."""
    if not arrow.is_live:
        return FADED, (0, (1.5, 2.5)), 0.8
    if arrow.path is None:
        return SUM, "-", arrow.width
    return arrow.path.colour, "-" if arrow.path.is_parameterised else (0, (3, 1.5)), WEIGHT * arrow.width


def _legend_rows(diagrams: Sequence[Diagram], width: float) -> list[list[tuple[str, Arrow]]]:
    """A name and an example for each kind of arrow that the diagrams show, in rows of about the same length."""
    arrows = [arrow for diagram in diagrams for arrow in diagram.arrows]
    used = {arrow.path for arrow in arrows if arrow.is_live}
    entries = [(path.label, Arrow(0, 1, path, True)) for path in information_paths().values() if path in used]
    if None in used:
        entries.append(("sum", Arrow(0, 1, None, True)))
    if any(not arrow.is_live for arrow in arrows):
        entries.append(("none or dead", Arrow(0, 1, PathType.NONE, False)))
    if any(diagram.notes.reference for diagram in diagrams):
        entries.append((f"{DIFFERS} not as in the first", Arrow(0, 1, PathType.NONE, False, PathType.NONE)))
    if importances := diagrams[0].notes.importances:
        widest = Arrow(0, 1, None, True, width=WIDEST * WEIGHT)
        entries.append((f"width: |γ|, here {max(map(abs, importances)):.3g}", widest))
    num_rows = max(1, ceil(sum(map(_entry_width, entries)) / width))
    per_row = ceil(len(entries) / num_rows) or 1
    return [entries[start : start + per_row] for start in range(0, len(entries), per_row)]


def _entry_width(entry: tuple[str, Arrow]) -> float:
    return LEGEND_SAMPLE + 0.34 + 0.064 * len(entry[0])


def _draw_legend(axes: Axes, rows: list[list[tuple[str, Arrow]]], middle: float, top: float) -> None:
    for number, row in enumerate(rows):
        x, y = middle - sum(map(_entry_width, row)) / 2 + 0.13, top - number * LEGEND_ROW
        for entry in row:
            name, (colour, dashes, weight) = entry[0], _stroke(entry[1])
            if entry[1].differs:
                axes.plot([x, x + LEGEND_SAMPLE], [y, y], color=HIGHLIGHT, linewidth=weight + BAND)
            axes.plot([x, x + LEGEND_SAMPLE], [y, y], color=colour, linestyle=dashes, linewidth=weight)
            axes.text(x + LEGEND_SAMPLE + 0.08, y, name, size=8, color=INK, va="center_baseline")
            x += _entry_width(entry)
