"""What all drawings of a genotype show: nodes in a row and arrows between them; and their colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from opanas_cli.genotype import Genotype, PathType, information_paths
from opanas_cli.genotype.liveness import live_edges, live_nodes, output_nodes
from opanas_cli.search.cost import Cost

INK = "#1F2933"
"""Live nodes and text."""
FADED = "#B8BEC4"
"""Whatever is dead."""
SUM = "#6B7680"
"""The arrows that add nodes up to the output; they carry no information path."""
HIGHLIGHT = "#FFD666"
"""Behind what differs from the first genotype."""
DIFFERS = "*"
"""Follows the path of an edge that differs, so that colour is not all that tells."""
WIDEST, THINNEST = 2.5, 0.2
"""By how much the arrow of the largest edge importance is wider than usual, and how wide an arrow is at least."""


class Node(NamedTuple):
    """A feature pyramid: `P` from the backbone, `x1` … `xN`, or the output `O`."""

    name: str
    is_live: bool


class Arrow(NamedTuple):
    """From one node to a later one, both by their place in `Diagram.nodes`.

    `path` is None if a node is added to the output as it is (Eq. 7). `instead_of` is the path of the reference on this
    edge, if it is another; `importance` is γ of the edge in a super-net (Eq. 10), `width` the factor that it makes of
    an arrow's usual width.
    """

    source: int
    target: int
    path: PathType | None
    is_live: bool
    instead_of: PathType | None = None
    importance: float | None = None
    width: float = 1.0

    @property
    def differs(self) -> bool:
        """Whether the reference has another path on this edge."""
        return self.instead_of is not None

    @property
    def label(self) -> str:
        """The short name of the path, marked if it differs; nothing for a sum."""
        return "" if self.path is None else self.path.short + DIFFERS * self.differs


@dataclass(frozen=True, slots=True)
class Notes:
    """What drawings show besides a genotype.

    Args:
        reference: a genotype of the same space; edges with another path are marked.
        importances: γ of each edge of the space in flat order, which makes the width of arrows.
        costs: what a path costs on any edge, which pages show.
    """

    reference: Genotype | None = None
    importances: Sequence[float] = ()
    costs: Mapping[PathType, Cost] = field(default_factory=dict)

    def on_edge(self, place: int, path: PathType) -> tuple[PathType | None, float | None, float]:
        """The last fields of an arrow, that of the edge at this place in flat order."""
        known = self.reference.paths[place] if self.reference else path
        instead_of = known if known != path else None
        if not self.importances:
            return instead_of, None, 1.0
        share = abs(self.importances[place]) / (max(map(abs, self.importances)) or 1)
        return instead_of, self.importances[place], max(THINNEST, WIDEST * share)


@dataclass(frozen=True, slots=True)
class Diagram:
    """One genotype as every form of drawing shows it. Nodes are in order of computation, `P` first and `O` last."""

    genotype: Genotype
    title: str
    nodes: tuple[Node, ...]
    arrows: tuple[Arrow, ...]
    notes: Notes = Notes()

    @classmethod
    def of(cls, genotype: Genotype, title: str = "", hide_dead: bool = False, notes: Notes = Notes()) -> Diagram:
        """The diagram of a genotype, with its dead nodes and edges or without them."""
        live = set(live_nodes(genotype))
        shown = [node for node in range(1, genotype.num_nodes + 1) if node in live or not hide_dead]
        place = {node: index for index, node in enumerate([0, *shown])}
        output = len(place)
        live_paths = set(live_edges(genotype))
        arrows = [
            Arrow(place[edge.source], place[edge.target], path, (edge, path) in live_paths, *notes.on_edge(index, path))
            for index, (edge, path) in enumerate(genotype.items())
            if (edge, path) in live_paths or not hide_dead
        ]
        sums = [Arrow(place[node], output, None, True) for node in output_nodes(genotype) if node in live]
        nodes = [Node("P", True), *(Node(f"x{node}", node in live) for node in shown), Node("O", bool(sums))]
        return cls(genotype, _one_line(title), tuple(nodes), tuple(arrows + sums), notes)

    @property
    def caption(self) -> str:
        """The facts under a title: space, number of nodes and how much of it is live."""
        genotype = self.genotype
        count = f"{len(live_edges(genotype))} of {len(genotype.edges)} edges live"
        if self.notes.reference is not None:
            count += f", {sum(arrow.differs for arrow in self.arrows)} not as in the first"
        return f"{genotype.space}, N = {genotype.num_nodes}, {count}"

    @property
    def paths(self) -> tuple[PathType, ...]:
        """The path types that live arrows carry, in the order of `information_paths`."""
        used = {arrow.path for arrow in self.arrows if arrow.is_live}
        return tuple(path for path in information_paths().values() if path in used)

    def facts(self, arrow: Arrow) -> dict[str, object]:
        """What is known of an arrow, by names that are the same for all of a diagram; None where it does not apply."""
        names = self.nodes[arrow.source].name, self.nodes[arrow.target].name
        path = "sum" if arrow.path is None else arrow.path.label
        facts: dict[str, object] = {"edge": " to ".join(names), "path": path if arrow.is_live else f"{path}, dead"}
        if self.notes.costs:
            cost = self.notes.costs.get(arrow.path) if arrow.path and arrow.is_live else None
            facts |= {"parameters": cost and cost.params, "MACs": cost and cost.macs}
        if self.notes.importances:
            facts["γ"] = arrow.importance
        if self.notes.reference:
            facts["in the first"] = arrow.instead_of and arrow.instead_of.label
        return facts

    def inputs(self, node: int) -> tuple[Arrow, ...]:
        """The live arrows into the node at place `node`, in order of their sources."""
        return tuple(arrow for arrow in self.arrows if arrow.target == node and arrow.is_live)


def _one_line(title: str) -> str:
    """A title without line breaks and unprintable characters."""
    words = " ".join(title.split())
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in words)
