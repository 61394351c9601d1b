"""Many sub-nets of a super-net on one input: what they have in common is computed once."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import reduce

import torch
from torch import Tensor

from opanas_cli.necks.path_aggregation import add_pyramids
from opanas_cli.necks.sharing import INPUT, Sharing
from opanas_cli.necks.super_net import OPASuperNet

Pyramid = Sequence[Tensor]

BATCH_NUMBERS = 2**20
"""Equal paths of different values run as one batch while a batch holds at most so many numbers.

Beyond that a call of a path keeps all cores busy on its own, and stacking its inputs only costs memory.
"""


KEPT_SHARE = 0.25
"""The fraction of the memory for values of earlier groups of sub-nets, if all do not fit at once."""


def most_values_needed(sharing: Sharing) -> float:
    """How many pyramids must fit into the memory for every path call to run once."""
    return sharing.num_values(range(len(sharing.outputs))) / (1 - KEPT_SHARE)


def run_population(
    super_net: OPASuperNet, pyramid: Pyramid, sharing: Sharing, memory_mb: float = math.inf
) -> Iterator[tuple[int, list[Tensor]]]:
    """The output pyramid of each genotype's sub-net, before the extra levels, as (index, pyramid) in any order.

    An information path of one edge runs once for each different pyramid that it is given; on several pyramids it runs
    as one batch.

    Args:
        pyramid: of node 0, as `OPASuperNet.project` makes it.
        sharing: of genotypes that `OPASuperNet.check` lets pass.
        memory_mb: the most that the pyramids may take which are kept for later, in 10**6 bytes; what a path needs while
            it runs comes on top. With less than one sub-net needs, sub-nets run one by one and share nothing.
    """
    yield from _PopulationRun(super_net, pyramid, sharing, memory_mb).outputs()


class _PopulationRun:
    """The values that are kept: of nodes, and of path calls that go into a node still to come."""

    def __init__(self, super_net: OPASuperNet, pyramid: Pyramid, sharing: Sharing, memory_mb: float) -> None:
        self.super_net = super_net
        self.sharing = sharing
        self.nodes: dict[int, Pyramid] = {INPUT: pyramid}
        self.calls: dict[int, Pyramid] = {}
        # No population has as many values as this.
        most_values = int(min(memory_mb * 10**6 / sum(level.nbytes for level in pyramid), 10**9))
        self.most_kept = int(most_values * KEPT_SHARE)
        self.groups = sharing.groups(most_values - self.most_kept)
        self.most_at_once = max(1, BATCH_NUMBERS // sum(level.numel() for level in pyramid))

    def outputs(self) -> Iterator[tuple[int, list[Tensor]]]:
        """The output of each genotype with its index, group by group."""
        for position, group in enumerate(self.groups):
            self._compute(group, self.groups[position + 1 :])
            for index in group:
                yield index, _sum([self.nodes[value] for value in self.sharing.outputs[index]])
            self._keep_for(self.groups[position + 1 :])

    def _compute(self, group: Sequence[int], later: Sequence[Sequence[int]]) -> None:
        """Compute the node values of a group, node by node; calls that no later group wants are dropped at once."""
        missing, _, _ = self._trace(group)
        wanted = {value for other in later for value in self._trace(other)[0]} - set(missing)
        wanted_calls = self._calls_into(wanted)
        of_node: dict[int, list[int]] = defaultdict(list)
        for value in sorted(missing):
            of_node[self.sharing.nodes[value].node].append(value)
        for _, values in sorted(of_node.items()):
            calls = self._calls_into(values)
            self._call(sorted(calls - set(self.calls)))
            for value in values:
                self.nodes[value] = _sum([self.calls[call] for call in self.sharing.nodes[value].calls])
            for call in calls - wanted_calls:
                del self.calls[call]

    def _call(self, calls: Sequence[int]) -> None:
        """Run path calls, those of one edge and path in batches."""
        alike: dict[tuple[str, str], list[int]] = defaultdict(list)
        for index in calls:
            call = self.sharing.calls[index]
            alike[call.edge, call.path].append(index)
        for (edge, path), indices in alike.items():
            for start in range(0, len(indices), self.most_at_once):
                chunk = indices[start : start + self.most_at_once]
                sources = [self.nodes[self.sharing.calls[index].source] for index in chunk]
                carried = self.super_net.run_edge(stack_pyramids(sources), edge, path)
                self.calls.update(zip(chunk, split_pyramid(carried, len(chunk)), strict=True))

    def _keep_for(self, later: Sequence[Sequence[int]]) -> None:
        """Keep values that later groups want, the next group first, as far as they fit."""
        nodes: set[int] = set()
        calls: set[int] = set()
        for group in later:
            _, wanted_nodes, wanted_calls = self._trace(group)
            for wanted, kept in (wanted_nodes, nodes), (wanted_calls, calls):
                free = self.most_kept - len(nodes) - len(calls)
                kept.update(sorted(wanted - kept)[: max(free, 0)])
        self.nodes = {value: pyramid for value, pyramid in self.nodes.items() if value == INPUT or value in nodes}
        # Copies, because a view would keep the whole batch of a path in memory.
        self.calls = {call: [level.clone() for level in self.calls[call]] for call in calls}

    def _calls_into(self, values: Iterable[int]) -> set[int]:
        return {call for value in values for call in self.sharing.nodes[value].calls}

    def _trace(self, group: Sequence[int]) -> tuple[set[int], set[int], set[int]]:
        """What a group is made of: node values to compute, and those and the calls that are known and that it uses."""
        missing: set[int] = set()
        nodes: set[int] = set()
        calls: set[int] = set()
        queue = [value for index in group for value in self.sharing.outputs[index]]
        while queue:
            value = queue.pop()
            if value in self.nodes:
                nodes.add(value)
            elif value not in missing:
                missing.add(value)
                known = self.calls.keys() & self.sharing.nodes[value].calls
                calls |= known
                queue += [
                    self.sharing.calls[call].source for call in self.sharing.nodes[value].calls if call not in known
                ]
        return missing, nodes - {INPUT}, calls


def stack_pyramids(pyramids: Sequence[Pyramid]) -> Pyramid:
    """Pyramids of (B, C, H_i, W_i) as one of (n·B, C, H_i, W_i)."""
    return pyramids[0] if len(pyramids) == 1 else [torch.cat(levels) for levels in zip(*pyramids, strict=True)]


def split_pyramid(pyramid: Pyramid, count: int) -> list[Pyramid]:
    """A pyramid of (n·B, C, H_i, W_i) as `count` = n of (B, C, H_i, W_i), views of its memory."""
    return [pyramid] if count == 1 else list(zip(*(level.chunk(count) for level in pyramid), strict=True))


def _sum(pyramids: Sequence[Pyramid]) -> list[Tensor]:
    """The sum, in memory of its own: a view would keep the whole batch of a path in memory."""
    if len(pyramids) == 1:
        return [level.clone() for level in pyramids[0]]
    return reduce(add_pyramids, pyramids)
