"""Which edges and nodes of a genotype take part in its output.

An edge is dead when it carries `none`, when it leaves a node without live input, or when it does not lead to the
output. A dead node adds nothing. (The released model would still add the biases of convolutions that it runs on zeros;
a network built from the pruned genotype leaves them out.)
"""

from __future__ import annotations

from opanas_cli.errors import InvalidGenotypeError
from opanas_cli.genotype.edges import Edge, SpaceKind
from opanas_cli.genotype.genotype import Genotype
from opanas_cli.genotype.paths import PathType

INPUT_NODE = 0


def live_nodes(genotype: Genotype) -> tuple[int, ...]:
    """The intermediate nodes that features of the backbone reach, ascending."""
    reached = {INPUT_NODE}
    for edge, path in genotype.items():
        if path is not PathType.NONE and edge.source in reached:
            reached.add(edge.target)
    return tuple(sorted(reached - {INPUT_NODE}))


def output_nodes(genotype: Genotype) -> tuple[int, ...]:
    """The nodes whose sum is the output: all live nodes of a dense genotype (Eq. 7), the last node of a chain.

    Empty when the output is dead.
    """
    live = live_nodes(genotype)
    if genotype.space is SpaceKind.CHAIN:
        return tuple(node for node in live if node == genotype.num_nodes)
    return live


def live_edges(genotype: Genotype) -> tuple[tuple[Edge, PathType], ...]:
    """The edges that take part in the output with their paths, in flat order."""
    reached = {INPUT_NODE, *live_nodes(genotype)}
    useful = set(output_nodes(genotype))
    live = []
    for edge, path in reversed(list(genotype.items())):
        if path is not PathType.NONE and edge.source in reached and edge.target in useful:
            useful.add(edge.source)
            live.append((edge, path))
    return tuple(reversed(live))


def prune(genotype: Genotype) -> Genotype:
    """The genotype with `none` on every dead edge.

    Two genotypes of one space that are equal after pruning compute the same, in a super-net as well as on their own.
    """
    live = dict(live_edges(genotype))
    return Genotype(tuple(live.get(edge, PathType.NONE) for edge in genotype.edges), genotype.space)


def validate(genotype: Genotype) -> None:
    """Check that features of the backbone reach the output; InvalidGenotypeError, with the edges to change, if not."""
    if output_nodes(genotype):
        return
    if genotype.space is SpaceKind.CHAIN:
        broken = next(edge for edge, path in genotype.items() if path is PathType.NONE)
        raise InvalidGenotypeError(
            f"the output is dead: 'none' on edge {broken} cuts the chain; put an information path there"
        )
    raise InvalidGenotypeError(
        "the output is dead: every edge out of node 0, the backbone's pyramid, is 'none'; "
        "put an information path on at least one of them"
    )
