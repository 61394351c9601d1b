"""One genotype to stand for all that describe the same network.

Two genotypes are equivalent when their pruned graphs, output included, are isomorphic with the paths respected and the
input fixed: the numbering of the nodes, dead parts and the spelling of the space do not matter. The canonical form
numbers the live nodes in an order that depends on the graph alone. It is found by colour refinement (one-dimensional
Weisfeiler-Leman), by splitting what refinement cannot tell apart into parts that hang together, and by trying each
node of a cell only within such a part. Interchangeable nodes are parts of their own, so their orders are never tried.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import sha256

from opanas_cli.genotype.edges import SpaceKind
from opanas_cli.genotype.genotype import Genotype
from opanas_cli.genotype.liveness import INPUT_NODE, live_edges
from opanas_cli.genotype.paths import PathType

HASH_DIGITS = 16

Labels = Mapping[tuple[int, int], str]
"""The path on each edge between intermediate nodes; a pair that is not there has no edge."""
Colours = Mapping[int, int]


def canonical_form(genotype: Genotype) -> Genotype:
    """The representative of all genotypes equivalent to this one: without dead nodes, its nodes in canonical order.

    Takes microseconds per node for what occurs in practice. Genotypes whose output is dead are one class, with the
    dense genotype of one `none` as its representative.
    """
    live = {(edge.source, edge.target): path for edge, path in live_edges(genotype)}
    nodes = sorted({target for _, target in live})
    if not nodes:
        return Genotype((PathType.NONE,))
    if genotype.space is SpaceKind.CHAIN:
        # A live chain has no dead part and no symmetry; as its output sums one node, it is dense only with one node.
        return genotype if genotype.num_nodes > 1 else Genotype(genotype.paths)
    order = _topological(_canonical_order(nodes, live), live)
    places = [INPUT_NODE, *order]
    paths = (
        live.get((places[source], places[target]), PathType.NONE)
        for target in range(1, len(places))
        for source in range(target)
    )
    return Genotype(tuple(paths))


def canonical_hash(genotype: Genotype) -> str:
    """16 hexadecimal digits that are equal exactly for equivalent genotypes, in every process and version.

    The digits are the beginning of a SHA-256 of the canonical form: unequal genotypes clash with probability 2**-64.
    """
    form = canonical_form(genotype)
    text = f"{form.space.value}:{','.join(path.value for path in form.paths)}"
    return sha256(text.encode()).hexdigest()[:HASH_DIGITS]


def equivalent(first: Genotype, second: Genotype) -> bool:
    """Whether both are one architecture when trained on their own.

    Inside a super-net only genotypes that are equal after `prune` compute the same: other nodes have other weights.
    """
    return canonical_form(first) == canonical_form(second)


def _canonical_order(nodes: Sequence[int], live: Mapping[tuple[int, int], PathType]) -> list[int]:
    labels = {pair: path.value for pair, path in live.items() if pair[0] != INPUT_NODE}
    inputs = {node: live[INPUT_NODE, node].value if (INPUT_NODE, node) in live else "" for node in nodes}
    ranks = {path: rank for rank, path in enumerate(sorted(set(inputs.values())))}
    return _order(list(nodes), {node: ranks[inputs[node]] for node in nodes}, labels)


def _topological(order: Sequence[int], live: Mapping[tuple[int, int], PathType]) -> list[int]:
    """Sorted by the longest way from the input, keeping the given order among equals."""
    depth = {INPUT_NODE: 0}
    for source, target in live:
        depth[target] = max(depth.get(target, 0), depth[source] + 1)
    return sorted(order, key=depth.__getitem__)


def _order(nodes: list[int], colours: Colours, labels: Labels) -> list[int]:
    """`nodes` in an order that depends only on their colours and the labelled edges among them."""
    if len(nodes) == 1:
        return nodes
    colours = _refined(nodes, colours, labels)
    parts = _parts(nodes, colours, labels)
    if len(parts) > 1:
        # Equal codes mean that swapping the parts changes nothing, so either may come first.
        ordered = [_order(part, {node: colours[node] for node in part}, labels) for part in parts]
        return [node for part in sorted(ordered, key=lambda part: _code(part, colours, labels)) for node in part]
    cell = _smallest_cell(nodes, colours)
    tries = (_order(nodes, {**colours, node: -1}, labels) for node in cell)
    return min(tries, key=lambda order: _code(order, colours, labels))


def _refined(nodes: Sequence[int], colours: Colours, labels: Labels) -> Colours:
    """The coarsest colouring finer than `colours` in which equal colours see equally coloured neighbours."""
    inner = [
        (source, target, labels[source, target]) for source, target in labels if {source, target} <= colours.keys()
    ]
    count = len(set(colours.values()))
    while count < len(nodes):
        seen: dict[int, list[tuple[bool, str, int]]] = {node: [] for node in nodes}
        for source, target, label in inner:
            seen[source].append((True, label, colours[target]))
            seen[target].append((False, label, colours[source]))
        views = {node: (colours[node], sorted(seen[node])) for node in nodes}
        distinct = sorted({(colour, tuple(view)) for colour, view in views.values()})
        ranks = {view: rank for rank, view in enumerate(distinct)}
        colours = {node: ranks[colour, tuple(view)] for node, (colour, view) in views.items()}
        if len(distinct) == count:
            break
        count = len(distinct)
    return colours


def _parts(nodes: Sequence[int], colours: Colours, labels: Labels) -> list[list[int]]:
    """Groups of nodes that hang together.

    Between two colours the most common label (no edge is a label too) is the rule that colours tell already; only a
    pair that departs from it ties its nodes together. A node alone in its colour departs from nothing.
    """
    pairs = [(a, b) for a in nodes for b in nodes if a != b]
    counts: dict[tuple[int, int], Counter[str]] = {}
    for a, b in pairs:
        counts.setdefault((colours[a], colours[b]), Counter())[labels.get((a, b), "")] += 1
    rule = {key: max(sorted(count), key=count.__getitem__) for key, count in counts.items()}
    group = {node: [node] for node in nodes}
    for a, b in pairs:
        if group[a] is not group[b] and labels.get((a, b), "") != rule[colours[a], colours[b]]:
            group[a].extend(group[b])
            for node in group[b]:
                group[node] = group[a]
    return [part for node, part in group.items() if node == part[0]]


def _smallest_cell(nodes: Sequence[int], colours: Colours) -> list[int]:
    cells: dict[int, list[int]] = {}
    for node in nodes:
        cells.setdefault(colours[node], []).append(node)
    return min((cell for cell in cells.values() if len(cell) > 1), key=lambda cell: (len(cell), colours[cell[0]]))


def _code(order: Sequence[int], colours: Colours, labels: Labels) -> tuple[list[int], list[str]]:
    """Everything there is to know about ordered nodes: equal codes mean isomorphic parts."""
    return [colours[node] for node in order], [labels.get((a, b), "") for a in order for b in order]
