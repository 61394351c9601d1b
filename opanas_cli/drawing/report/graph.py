"""A genotype as SVG in the colours of the page: the drawing of `opanas_cli.drawing.figure` without matplotlib."""

from __future__ import annotations

from opanas_cli.drawing.arcs import ABOVE, BELOW, RADIUS, SPACING, Point, arc, arrow_head, height, point_on
from opanas_cli.drawing.diagram import Arrow, Diagram
from opanas_cli.drawing.report.markup import Html, element, is_number
from opanas_cli.genotype import PathType
from opanas_cli.search.cost import format_quantity

SCALE = 62.0
"""Pixels per inch."""
MARGIN = 0.12


def graph(diagram: Diagram) -> Html:
    """The nodes in a row and arrows between them, which are marks: by pointer and keyboard they say what they are."""
    longest = diagram.genotype.num_nodes
    reach = {side: max([RADIUS, *(_reach(arrow) for arrow in diagram.arrows if _side(arrow) == side)])
             for side in (ABOVE, BELOW)}  # fmt: skip
    width = (len(diagram.nodes) - 1) * SPACING + 2 * (RADIUS + MARGIN)
    row = reach[ABOVE] + MARGIN
    arrows = sorted(diagram.arrows, key=lambda arrow: arrow.is_live)
    parts = [_arrow(diagram, arrow, longest, row) for arrow in arrows]
    parts += [_node(diagram, place, row) for place in range(len(diagram.nodes))]
    size = width * SCALE, (row + reach[BELOW] + MARGIN) * SCALE
    return element(
        "svg", *parts, viewBox=f"0 0 {size[0]:.0f} {size[1]:.0f}", class_="graph chart", role="group",
        aria_label=f"{diagram.title}: {diagram.caption}", tabindex=0, style=f"max-width: {size[0]:.0f}px",
    )  # fmt: skip


def _side(arrow: Arrow) -> int:
    return BELOW if arrow.path is None else ABOVE


def _reach(arrow: Arrow) -> float:
    return height(arrow.target - arrow.source, _side(arrow)) + 0.12


def _place(x: float, y: float, row: float) -> Point:
    """A point of a row of nodes in pixels; heights are measured upwards."""
    return (x + RADIUS + MARGIN) * SCALE, (row - y) * SCALE


def _arrow(diagram: Diagram, arrow: Arrow, longest: int, row: float) -> Html:
    curve = arc(arrow.source * SPACING, arrow.target - arrow.source, longest, _side(arrow))
    points = " ".join(
        f"{letter}{x:.1f} {y:.1f}" for letter, (x, y) in zip("MC  ", (_place(*p, row) for p in curve), strict=True)
    )
    head = " ".join(f"{x:.1f},{y:.1f}" for x, y in (_place(*p, row) for p in arrow_head(curve)))
    parts = [element("title", _about(diagram, arrow))]
    if arrow.differs:
        parts.append(element("path", d=points, class_="differs"))
    parts.append(element("path", d=points))
    if arrow.path is not PathType.NONE:
        parts.append(element("polygon", points=head))
    if arrow.differs or arrow.path not in (None, PathType.NONE):
        x, y = _place(*point_on(curve, 0.5), row)
        parts.append(element("text", arrow.label, x=x, y=y + 4))
    kind = "dead" if not arrow.is_live else "sum" if arrow.path is None else "path"
    colour = arrow.path.colour if kind == "path" and arrow.path else None
    dashes = "5 3" if kind == "path" and arrow.path and not arrow.path.is_parameterised else None
    width = None if arrow.importance is None or kind == "dead" else f"--width: {1.9 * arrow.width:.3g}px"
    return element("g", *parts, class_=f"mark arrow {kind}", color=colour, stroke_dasharray=dashes, style=width)


def _about(diagram: Diagram, arrow: Arrow) -> str:
    """The facts of an arrow as one sentence."""
    facts = diagram.facts(arrow)
    edge, path = facts.pop("edge"), facts.pop("path")
    texts = (
        f"{name} {format_quantity(value) if isinstance(value, int) else f'{value:.3f}' if is_number(value) else value}"
        for name, value in facts.items()
        if value is not None
    )
    return ", ".join([f"{edge}: {path}", *texts])


def _node(diagram: Diagram, place: int, row: float) -> Html:
    node = diagram.nodes[place]
    x, y = _place(place * SPACING, 0, row)
    kind = "end" if place in (0, len(diagram.nodes) - 1) else "inner"
    circle = element("circle", cx=x, cy=y, r=RADIUS * SCALE)
    return element("g", circle, element("text", node.name, x=x, y=y + 4),
                   class_=f"node {kind}{'' if node.is_live else ' dead'}")  # fmt: skip
