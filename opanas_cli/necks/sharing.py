"""What the sub-nets of a population have in common: equal sub-graphs of their pruned genotypes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from opanas_cli.genotype import Genotype
from opanas_cli.genotype.liveness import live_edges, output_nodes

INPUT = 0
"""The value of node 0, the pyramid that the backbone gives."""


@dataclass(frozen=True, slots=True)
class PathCall:
    """The path of one edge, run on one value: `source` is an index into `Sharing.nodes`."""

    edge: str
    path: str
    source: int


@dataclass(frozen=True, slots=True)
class NodeValue:
    """What an intermediate node holds: the sum of `calls`, indices into `Sharing.calls`, in that order."""

    node: int
    calls: tuple[int, ...]


@dataclass(slots=True)
class Sharing:
    """The values that a population needs in a super-net, each once.

    Two nodes hold the same value when the same edges bring them the same paths of the same values: their weights are
    the super-net's, so the index of a node counts. `nodes[INPUT]` stands for the input; a value comes after those that
    it is made of. `outputs` has, for each genotype, the node values that its output sums.
    """

    nodes: list[NodeValue] = field(default_factory=lambda: [NodeValue(0, ())])
    calls: list[PathCall] = field(default_factory=list)
    outputs: list[tuple[int, ...]] = field(default_factory=list)

    @classmethod
    def of(cls, genotypes: Sequence[Genotype]) -> Sharing:
        """Find the equal sub-graphs of genotypes of one space, each with a live output."""
        sharing = cls()
        calls: dict[PathCall, int] = {}
        nodes: dict[NodeValue, int] = {}
        for genotype in genotypes:
            values = {0: INPUT}
            incoming: dict[int, list[tuple[int, str]]] = defaultdict(list)
            for edge, path in live_edges(genotype):
                incoming[edge.target].append((edge.source, path.value))
            for node, edges in sorted(incoming.items()):
                made_of = [PathCall(f"{source}_{node}", path, values[source]) for source, path in edges]
                value = NodeValue(node, tuple(calls.setdefault(call, len(calls)) for call in made_of))
                values[node] = nodes.setdefault(value, len(nodes) + 1)
            sharing.outputs.append(tuple(values[node] for node in output_nodes(genotype)))
        sharing.calls += calls
        sharing.nodes += nodes
        return sharing

    def groups(self, most_values: int) -> list[list[int]]:
        """The genotypes by their indices, in groups that need at most `most_values` values at a time, or of one.

        Genotypes that share much come next to each other.
        """
        order = sorted(range(len(self.outputs)), key=lambda index: self.outputs[index])
        if self.num_values(order) <= most_values:
            return [order]
        groups: list[list[int]] = []
        for index in order:
            if groups and self.num_values([*groups[-1], index]) <= most_values:
                groups[-1].append(index)
            else:
                groups.append([index])
        return groups

    def num_values(self, group: Iterable[int]) -> int:
        """How many values some genotypes hold at a time: all their node values, and the calls into one node."""
        values: set[int] = set()
        into: dict[int, set[int]] = defaultdict(set)
        queue = [value for index in group for value in self.outputs[index]]
        while queue:
            value = queue.pop()
            if value == INPUT or value in values:
                continue
            values.add(value)
            into[self.nodes[value].node].update(self.nodes[value].calls)
            queue += [self.calls[call].source for call in self.nodes[value].calls]
        return len(values) + max(map(len, into.values()))
