"""Genotypes as a Mermaid flowchart, which GitHub and many wikis draw."""

from __future__ import annotations

from collections.abc import Sequence

from opanas_cli.drawing.diagram import FADED, INK, SUM, Arrow, Diagram


def to_mermaid(diagrams: Sequence[Diagram]) -> str:
    """A flowchart with one subgraph per diagram; if there are several, the ids of nodes begin with `g1_`, `g2_`, …"""
    lines = [
        "flowchart LR",
        f"  classDef live fill:#fff,stroke:{INK},color:{INK}",
        f"  classDef end_ fill:{INK},stroke:{INK},color:#fff",
        f"  classDef dead fill:#fff,stroke:{FADED},color:{FADED},stroke-dasharray:4",
    ]
    for index, diagram in enumerate(diagrams, 1):
        prefix = f"g{index}_" if len(diagrams) > 1 else ""
        lines += [f'  subgraph s{index}["{_escaped(diagram.title) or " "}"]', "    direction LR"]
        lines += [f"    {line}" for line in _statements(diagram, prefix)]
        lines.append("  end")
    arrows = [arrow for diagram in diagrams for arrow in diagram.arrows]
    lines += [f"  linkStyle {number} {_style(arrow)}" for number, arrow in enumerate(arrows)]
    return "\n".join([*lines, ""])


def _statements(diagram: Diagram, prefix: str) -> list[str]:
    last = len(diagram.nodes) - 1
    lines = []
    for place, node in enumerate(diagram.nodes):
        role = "dead" if not node.is_live else "end_" if place in (0, last) else "live"
        lines.append(f'{prefix}{node.name}(("{node.name}")):::{role}')
    for arrow in diagram.arrows:
        source, target = (prefix + diagram.nodes[place].name for place in (arrow.source, arrow.target))
        label = f'|"{arrow.label}"|' if arrow.path is not None else ""
        lines.append(f"{source} {'-->' if arrow.is_live else '-.->'}{label} {target}")
    return lines


def _style(arrow: Arrow) -> str:
    if not arrow.is_live:
        return f"stroke:{FADED},color:{FADED}"
    if arrow.path is None:
        return f"stroke:{SUM}"
    return f"stroke:{arrow.path.colour},color:{arrow.path.colour},stroke-width:{2 * arrow.width:.3g}px"


def _escaped(text: str) -> str:
    """Text inside double quotes: Mermaid knows entities written `#name;`, and reads the rest as Markdown or HTML."""
    entities = {"#": "#35;", '"': "#quot;", "<": "#lt;", ">": "#gt;", "`": "#96;", "&": "#amp;", "\\": "#92;"}
    return "".join(entities.get(character, character) for character in text)
