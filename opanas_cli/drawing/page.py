"""A self-contained page: each genotype as a graph, as a table of its edges and as equations."""

from __future__ import annotations

from collections.abc import Sequence

from opanas_cli.drawing.diagram import DIFFERS, HIGHLIGHT, Arrow, Diagram
from opanas_cli.drawing.report.charts import legend
from opanas_cli.drawing.report.graph import graph
from opanas_cli.drawing.report.markup import Html, element, folded, joined, paragraph, table
from opanas_cli.drawing.report.page import whole_page

COLUMN_OF_NODE = 4
"""The least width of a column, in rem for each node; two columns have room for graphs of seven nodes."""


def to_html(diagrams: Sequence[Diagram]) -> str:
    """One HTML document that loads nothing from elsewhere. Its arrows say what they are by pointer and keyboard."""
    heading = ", ".join(diagram.title for diagram in diagrams if diagram.title) or "Genotype"
    colours = {path.label: path.colour for diagram in diagrams for path in diagram.paths}
    if any(diagram.notes.reference for diagram in diagrams):
        colours[f"{DIFFERS} not as in the first"] = HIGHLIGHT
    column = COLUMN_OF_NODE * max(len(diagram.nodes) for diagram in diagrams)
    graphs = element("div", *map(_figure, diagrams), class_="graphs", style=f"--column: {column:g}rem")
    return whole_page(heading, [element("main", element("h1", heading), graphs, legend(colours))])


def _figure(diagram: Diagram) -> Html:
    title = [element("h2", diagram.title)] if diagram.title else []
    rows = [diagram.facts(arrow) for arrow in diagram.arrows]
    equations = table([], ([diagram.nodes[place].name, _sum(diagram, place)] for place in range(1, len(diagram.nodes))))
    edges = folded("Table of edges", table(list(rows[0]), (list(row.values()) for row in rows))) if rows else Html()
    return element("figure", *title, graph(diagram), paragraph(diagram.caption), equations, edges)


def _sum(diagram: Diagram, place: int) -> Html:
    terms = [_term(diagram, arrow) for arrow in diagram.inputs(place)]
    return Html(f"= {' + '.join(terms) or '0, dead'}")


def _term(diagram: Diagram, arrow: Arrow) -> Html:
    source = diagram.nodes[arrow.source].name
    if arrow.path is None:
        return Html(source)
    factor = "" if arrow.importance is None else f"{arrow.importance:.3g} "
    return joined([factor, element("b", arrow.label), f"({source})"])
