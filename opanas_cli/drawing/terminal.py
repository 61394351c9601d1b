"""Genotypes as text for a terminal: a staircase in which features flow right and down, and the same as equations.

A row belongs to the node that features leave, a column to the node that they enter, and the node itself stands where
its row meets its column:

    P ── TD ── TD
         ▼     │
         x1 ── SE
         ┊     ▼
         ┊     x2
         ┊     ┊
         └─────┴──▶ O
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from opanas_cli.drawing.diagram import DIFFERS, Arrow, Diagram
from opanas_cli.genotype import PathType, information_paths

LINE = "dim"
LIVE_NODE = "bold"
DEAD = "dim"
ASCII = str.maketrans("─│┊└┴┼▶▼·", "-|:++|>v.")


def to_text(diagrams: Sequence[Diagram], ascii_only: bool = False) -> Text:
    """Styled text, one block per diagram. It says the same without its styles; `ascii_only` avoids box characters."""
    blocks = [
        Text("\n").join([*_heading(diagram), *_staircase(diagram), Text(), *_equations(diagram)])
        for diagram in diagrams
    ]
    text = Text("\n\n").join([*blocks, *_legend(diagrams)])
    if ascii_only:
        text.plain = text.plain.translate(ASCII).encode("ascii", "replace").decode()
    return text


def _heading(diagram: Diagram) -> list[Text]:
    title = [Text(diagram.title, style="bold")] if diagram.title else []
    return [*title, Text(diagram.caption), Text()]


def _legend(diagrams: Sequence[Diagram]) -> list[Text]:
    used = [path for path in information_paths().values() if any(path in diagram.paths for diagram in diagrams)]
    entries = [Text.assemble((path.short, f"bold {path.colour}"), f" {path.label}") for path in used]
    if any(diagram.notes.reference for diagram in diagrams):
        entries.append(Text(f"{DIFFERS} not as in the first"))
    return [Text("   ").join(entries)] if entries else []


def _staircase(diagram: Diagram) -> list[Text]:
    """Rows of sources, with the lines that run down to the next row between them, and the output at the bottom."""
    last = len(diagram.nodes) - 1
    sums = {arrow.source for arrow in diagram.inputs(last)}
    cell = 7 if last <= 10 else 6
    lines = []
    for source in range(last):
        lines.append(_row(diagram, source, sums, cell))
        lines.append(_lines_down(diagram, source, sums, cell))
    return [*lines, _output(diagram, sums, cell)] if sums else lines[:-1]


def _row(diagram: Diagram, source: int, sums: set[int], cell: int) -> Text:
    arrows = {arrow.target: arrow for arrow in diagram.arrows if arrow.source == source and arrow.path is not None}
    furthest = max((arrow.target for arrow in arrows.values() if arrow.is_live), default=source)
    row = Text()
    for place in range(len(diagram.nodes) - 1):
        if place < source:
            mark = Text("┊" if place in sums else "", style=LINE)
        elif place == source:
            node = diagram.nodes[place]
            mark = Text(node.name, style=LIVE_NODE if node.is_live else DEAD)
        else:
            mark = _mark(arrows.get(place), place < furthest, _enters(diagram, place, source))
        row.append_text(mark)
        goes_on = source <= place < furthest
        width = cell - len(mark)
        row.append(_run(width) if goes_on else " " * width, style=LINE)
    row.rstrip()
    return row


def _run(width: int) -> str:
    """A horizontal line between two marks, with a space on each side if it is wide enough."""
    return f" {'─' * (width - 2)} " if width > 2 else "─ "[:width]


def _mark(arrow: Arrow | None, is_crossed: bool, has_line_down: bool) -> Text:
    """What stands where the row of a source meets the column of a later node."""
    if arrow is None or arrow.path is None:
        return Text(("┼" if has_line_down else "─") if is_crossed else "│" if has_line_down else "", style=LINE)
    if arrow.is_live:
        return Text(arrow.label, style=_style(arrow))
    mark = "·" + DIFFERS * arrow.differs if arrow.path is PathType.NONE else arrow.label
    return Text(mark, style=f"{DEAD} reverse" if arrow.differs else DEAD)


def _style(arrow: Arrow) -> str:
    """The style of a live arrow's path."""
    assert arrow.path is not None
    return f"bold {arrow.path.colour}{' reverse' if arrow.differs else ''}"


def _enters(diagram: Diagram, node: int, source: int) -> bool:
    """Whether a live arrow from a place up to `source` enters `node`."""
    return any(arrow.source <= source for arrow in diagram.inputs(node))


def _lines_down(diagram: Diagram, source: int, sums: set[int], cell: int) -> Text:
    marks = []
    for place in range(len(diagram.nodes) - 1):
        if place <= source:
            marks.append("┊" if place in sums else "")
        elif _enters(diagram, place, source):
            marks.append("▼" if place == source + 1 else "│")
        else:
            marks.append("")
    return Text("".join(mark.ljust(cell) for mark in marks).rstrip(), style=LINE)


def _output(diagram: Diagram, sums: set[int], cell: int) -> Text:
    first, last = min(sums), max(sums)
    row = Text(" " * cell * first)
    for place in range(first, last):
        mark = "└" if place == first else "┴" if place in sums else "─"
        row.append(mark.ljust(cell, "─"), style=LINE)
    row.append(("└" if first == last else "┴") + "──▶ ", style=LINE)
    return row.append("O", style=LIVE_NODE)


def _equations(diagram: Diagram) -> list[Text]:
    width = max(len(node.name) for node in diagram.nodes)
    lines = []
    for place, node in enumerate(diagram.nodes[1:], 1):
        terms = [_term(diagram, arrow) for arrow in diagram.inputs(place)]
        right = Text(" + ").join(terms) if terms else Text("0, dead", style=DEAD)
        lines.append(Text.assemble((node.name.ljust(width), LIVE_NODE if node.is_live else DEAD), " = ", right))
    return lines


def _term(diagram: Diagram, arrow: Arrow) -> Text:
    source = diagram.nodes[arrow.source].name
    if arrow.path is None:
        return Text(source)
    factor = "" if arrow.importance is None else f"{arrow.importance:.3g} "
    return Text.assemble(factor, (arrow.label, _style(arrow)), f"({source})")
