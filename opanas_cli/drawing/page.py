"""A self-contained page: the figure, and under it each genotype as equations."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory

from opanas_cli.drawing.diagram import INK, SUM, Arrow, Diagram
from opanas_cli.drawing.figure import save_figure

STYLE = f"""
    body {{ margin: 2rem auto; max-width: 70rem; padding: 0 1rem; font: 16px/1.6 system-ui, sans-serif; color: {INK}; }}
    figure {{ margin: 0; }}
    svg {{ width: 100%; height: auto; max-height: 80vh; }}
    h2 {{ margin-bottom: 0; font-size: 1.1rem; }}
    p {{ margin-top: 0; color: {SUM}; }}
    td {{ padding: 0 .4rem 0 0; }}
"""


def to_html(diagrams: Sequence[Diagram]) -> str:
    """One HTML document that loads nothing from elsewhere: the figure of all diagrams as SVG, then their equations."""
    heading = ", ".join(diagram.title for diagram in diagrams if diagram.title) or "Genotype"
    sections = "\n".join(map(_section, diagrams))
    return f"""<!DOCTYPE html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>{escape(heading)}</title>
    <style>{STYLE}    </style>
  </head>
  <body>
    <figure role="img" aria-label="{escape(heading)} as a graph">
{_inline_svg(diagrams)}
    </figure>
{sections}
  </body>
</html>
"""


def _inline_svg(diagrams: Sequence[Diagram]) -> str:
    """The figure without the XML and DOCTYPE declarations, which do not belong inside a page."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "figure.svg"
        save_figure(diagrams, path, ".svg")
        text = path.read_text(encoding="utf-8")
    return text[text.index("<svg") :].rstrip()


def _section(diagram: Diagram) -> str:
    rows = "\n".join(_row(diagram, place) for place in range(1, len(diagram.nodes)))
    title = f"    <h2>{escape(diagram.title)}</h2>\n" if diagram.title else ""
    return f"{title}    <p>{diagram.caption}</p>\n    <table>\n{rows}\n    </table>"


def _row(diagram: Diagram, place: int) -> str:
    terms = " + ".join(_term(diagram, arrow) for arrow in diagram.inputs(place)) or "0, dead"
    return f"      <tr><td>{diagram.nodes[place].name}</td><td>= {terms}</td></tr>"


def _term(diagram: Diagram, arrow: Arrow) -> str:
    source = diagram.nodes[arrow.source].name
    if arrow.path is None:
        return source
    return f'<b style="color: {arrow.path.colour}">{arrow.path.short}</b>({source})'
