"""The super-net as a mixture: every edge carries all of its paths at once, each times a weight (DARTS, Eq. 2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from opanas_cli.genotype import PathType, SpaceKind
from opanas_cli.necks.path_aggregation import add_pyramids
from opanas_cli.necks.super_net import OPASuperNet

WEIGHTINGS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "darts": lambda architecture: architecture.softmax(dim=1),
    "fair-darts": torch.sigmoid,
}
"""The weights of all paths, by method, from architecture parameters (edges, paths).

The paths of an edge compete for a sum of 1 (DARTS, Liu et al. 2019), or each is on its own between 0 and 1 (Fair DARTS,
Chu et al. 2020).
"""


def run_mixture(super_net: OPASuperNet, pyramid: Sequence[Tensor], weights: Tensor) -> tuple[Tensor, ...]:
    """The outputs when each edge carries the weighted sum of its paths, times its importance (Eq. 10).

    `none` adds nothing. For gradients all paths of all edges are held in memory together.

    Args:
        pyramid: of node 0, as `OPASuperNet.project` makes it.
        weights: (edges, paths) in the order of the super-net's `search_space`.
    """
    space = super_net.search_space
    if super_net.edge_importance is not None:
        weights = weights * super_net.edge_importance[:, None]
    nodes: list[Sequence[Tensor]] = [pyramid]
    for edge, row in zip(space.edges, weights, strict=True):
        for path, weight in zip(space.paths, row, strict=True):
            if path is PathType.NONE:
                continue
            carried = super_net.paths[f"{edge.source}_{edge.target}"][path](nodes[edge.source])
            weighted = [weight * level for level in carried]
            if edge.target == len(nodes):
                nodes.append(weighted)
            else:
                nodes[edge.target] = add_pyramids(nodes[edge.target], weighted)
    output = nodes[-1]
    for node in nodes[1:-1] if space.kind is SpaceKind.DENSE else ():
        output = add_pyramids(output, node)
    return tuple(super_net.extra_outputs(output))
