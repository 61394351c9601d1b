"""What all drawings of a genotype show: nodes in a row and arrows between them; and their colours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from opanas_cli.genotype import Genotype, PathType, information_paths
from opanas_cli.genotype.liveness import live_edges, live_nodes, output_nodes

INK = "#1F2933"
"""Live nodes and text."""
FADED = "#B8BEC4"
"""Whatever is dead."""
SUM = "#6B7680"
"""The arrows that add nodes up to the output; they carry no information path."""


class Node(NamedTuple):
    """A feature pyramid: `P` from the backbone, `x1` … `xN`, or the output `O`."""

    name: str
    is_live: bool


class Arrow(NamedTuple):
    """From one node to a later one, both by their place in `Diagram.nodes`.

    `path` is None if a node is added to the output as it is (Eq. 7).
    """

    source: int
    target: int
    path: PathType | None
    is_live: bool


@dataclass(frozen=True, slots=True)
class Diagram:
    """One genotype as every form of drawing shows it. Nodes are in order of computation, `P` first and `O` last."""

    genotype: Genotype
    title: str
    nodes: tuple[Node, ...]
    arrows: tuple[Arrow, ...]

    @classmethod
    def of(cls, genotype: Genotype, title: str = "", hide_dead: bool = False) -> Diagram:
        """The diagram of a genotype, with its dead nodes and edges or without them."""
        live = set(live_nodes(genotype))
        shown = [node for node in range(1, genotype.num_nodes + 1) if node in live or not hide_dead]
        place = {node: index for index, node in enumerate([0, *shown])}
        output = len(place)
        live_paths = set(live_edges(genotype))
        arrows = [
            Arrow(place[edge.source], place[edge.target], path, (edge, path) in live_paths)
            for edge, path in genotype.items()
            if (edge, path) in live_paths or not hide_dead
        ]
        sums = [Arrow(place[node], output, None, True) for node in output_nodes(genotype) if node in live]
        nodes = [Node("P", True), *(Node(f"x{node}", node in live) for node in shown), Node("O", bool(sums))]
        return cls(genotype, _one_line(title), tuple(nodes), tuple(arrows + sums))

    @property
    def caption(self) -> str:
        """The facts under a title: space, number of nodes and how much of it is live."""
        genotype = self.genotype
        count = f"{len(live_edges(genotype))} of {len(genotype.edges)} edges live"
        return f"{genotype.space}, N = {genotype.num_nodes}, {count}"

    @property
    def paths(self) -> tuple[PathType, ...]:
        """The path types that live arrows carry, in the order of `information_paths`."""
        used = {arrow.path for arrow in self.arrows if arrow.is_live}
        return tuple(path for path in information_paths().values() if path in used)

    def inputs(self, node: int) -> tuple[Arrow, ...]:
        """The live arrows into the node at place `node`, in order of their sources."""
        return tuple(arrow for arrow in self.arrows if arrow.target == node and arrow.is_live)


def _one_line(title: str) -> str:
    """A title without line breaks and unprintable characters."""
    words = " ".join(title.split())
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in words)
