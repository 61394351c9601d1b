"""Genotypes as Graphviz text (the DOT language)."""

from __future__ import annotations

from collections.abc import Sequence

from opanas_cli.drawing.diagram import FADED, HIGHLIGHT, INK, SUM, Arrow, Diagram


def to_dot(diagrams: Sequence[Diagram]) -> str:
    """A digraph with one cluster per diagram; if there are several, the ids of nodes begin with `g1_`, `g2_`, …"""
    lines = [
        "digraph opanas {",
        "  rankdir=LR;",
        f'  node [shape=circle, fontname="sans-serif", color="{INK}", fontcolor="{INK}"];',
        '  edge [fontname="sans-serif", fontsize=10];',
    ]
    for index, diagram in enumerate(diagrams, 1):
        prefix = f"g{index}_" if len(diagrams) > 1 else ""
        lines += [f"  {line}" for line in _cluster(diagram, index, prefix)]
    return "\n".join([*lines, "}", ""])


def _cluster(diagram: Diagram, index: int, prefix: str) -> list[str]:
    names = [prefix + node.name for node in diagram.nodes]
    lines = [f"subgraph cluster_{index} {{", f"  label={_quoted(diagram.title)};", f'  color="{FADED}";']
    for place, (name, node) in enumerate(zip(names, diagram.nodes, strict=True)):
        style = ""
        if not node.is_live:
            style = f', style=dashed, color="{FADED}", fontcolor="{FADED}"'
        elif place in (0, len(names) - 1):
            style = f', style=filled, fillcolor="{INK}", fontcolor="white"'
        lines.append(f"  {name} [label={_quoted(node.name)}{style}];")
    for arrow in diagram.arrows:
        lines.append(f"  {names[arrow.source]} -> {names[arrow.target]} [{_attributes(arrow)}];")
    return [*lines, "}"]


def _attributes(arrow: Arrow) -> str:
    if arrow.path is None:
        return f'color="{SUM}"'
    label = f"label={_quoted(arrow.label)}"
    colour = arrow.path.colour if arrow.is_live else FADED
    stroke = f"penwidth={2 * arrow.width:.3g}" if arrow.is_live else "style=dotted"
    strokes = f"{HIGHLIGHT}:{colour}:{HIGHLIGHT}" if arrow.differs else colour
    return f'{label}, {stroke}, color="{strokes}", fontcolor="{colour}"'


def _quoted(text: str) -> str:
    r"""A DOT string: a quote is escaped, and a backslash is doubled, because \N and the like stand for something."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
