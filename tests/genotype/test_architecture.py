"""Architectures against the definition by networkx, counts of small spaces by enumeration, and facts."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from itertools import permutations
from random import Random
from time import perf_counter

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opanas_cli.errors import InvalidGenotypeError
from opanas_cli.formats import resolve_genotype
from opanas_cli.genotype import PAPER_PATHS, Genotype, PathType, SearchSpace, SpaceKind
from opanas_cli.genotype.architecture import Architecture, canonical_hash, compare, facts_of
from opanas_cli.genotype.dag import to_digraph
from opanas_cli.genotype.liveness import live_nodes, prune, validate

PUBLISHED_HASH = "5d76342a2e1de5e9"


def genotypes(max_nodes: int, paths: Sequence[PathType] = PAPER_PATHS) -> st.SearchStrategy[Genotype]:
    """Genotypes of both spaces; few kinds of paths make symmetric graphs likely."""

    def of(kind: SpaceKind, num_nodes: int) -> st.SearchStrategy[Genotype]:
        count = len(SearchSpace(num_nodes, kind).edges)
        listed = st.lists(st.sampled_from(paths), min_size=count, max_size=count)
        return listed.map(lambda chosen: Genotype(tuple(chosen), kind))

    return st.builds(of, st.sampled_from(SpaceKind), st.integers(1, max_nodes)).flatmap(lambda strategy: strategy)


FEW = (PathType.NONE, PathType.TOP_DOWN)
ANY = st.one_of(genotypes(6), genotypes(6, FEW), genotypes(5, (*FEW, PathType.SKIP_CONNECT)))


def live_graph(genotype: Genotype) -> nx.DiGraph:
    """What lies on a way from the input to the output, each node with its role."""
    graph = to_digraph(genotype)
    live = ({0} | nx.descendants(graph, 0)) & ({"output"} | nx.ancestors(graph, "output"))
    graph = graph.subgraph({0, "output"} | live).copy()
    nx.set_node_attributes(graph, {node: node if node in (0, "output") else "intermediate" for node in graph}, "role")
    return graph


def isomorphic(first: Genotype, second: Genotype) -> bool:
    """The definition of equivalence, by networkx."""
    return nx.is_isomorphic(
        live_graph(first),
        live_graph(second),
        node_match=lambda a, b: a["role"] == b["role"],
        edge_match=lambda a, b: a["path"] == b["path"],
    )


def relabelled(genotype: Genotype, order: Sequence[int]) -> Genotype:
    """A dense genotype with its nodes moved to the places in `order`, as far as edges still point forward."""
    carried = dict(genotype.items())
    graph = nx.DiGraph()
    graph.add_nodes_from(range(genotype.num_nodes + 1))
    graph.add_edges_from(edge for edge, path in carried.items() if path is not PathType.NONE)
    rank = {0: -1, **{node: place for place, node in enumerate(order, start=1)}}
    nodes = list(nx.lexicographical_topological_sort(graph, key=rank.__getitem__))
    paths = []
    for target in range(1, len(nodes)):
        for source in range(target):
            paths.append(carried.get((nodes[source], nodes[target]), PathType.NONE))
    return Genotype(tuple(paths))


@given(ANY, ANY)
@settings(deadline=None, max_examples=300)
def test_hashes_are_equal_exactly_for_isomorphic_graphs(first: Genotype, second: Genotype) -> None:
    same = isomorphic(first, second)
    assert (Architecture(first) == Architecture(second)) is same
    assert (canonical_hash(first) == canonical_hash(second)) is same


@given(ANY.filter(lambda genotype: genotype.space is SpaceKind.DENSE), st.data())
@settings(deadline=None, max_examples=300)
def test_a_relabelled_copy_is_one_architecture(genotype: Genotype, data: st.DataObject) -> None:
    pruned = prune(genotype)
    order = data.draw(st.permutations(range(1, genotype.num_nodes + 1)))
    copy = relabelled(pruned, order)
    assert isomorphic(genotype, copy)
    assert canonical_hash(genotype) == canonical_hash(copy)
    assert {Architecture(genotype)} == {Architecture(copy)}


@given(ANY)
@settings(deadline=None, max_examples=100)
def test_dead_parts_do_not_matter(genotype: Genotype) -> None:
    assert Architecture(prune(genotype)) == Architecture(genotype)


def equivalent(first: Genotype, second: Genotype) -> bool:
    same = compare(first, second).relation != "different"
    assert isomorphic(first, second) is same
    return same


def test_a_chain_of_one_is_the_dense_genotype_of_one() -> None:
    assert equivalent(Genotype.of(["top_down"], "chain"), Genotype.of(["top_down"]))
    assert not equivalent(Genotype.of(["top_down"] * 2, "chain"), Genotype.of(["top_down", "none", "top_down"]))


def test_genotypes_of_different_sizes_are_compared_by_their_live_part() -> None:
    large = Genotype.of(["none", "top_down", "skip_connect", "none", "top_down", "bottom_up"])
    small = Genotype.of(["bottom_up", "none", "top_down"])
    assert not equivalent(large, small)
    assert equivalent(large, Genotype.of(["top_down", "none", "bottom_up"]))
    assert equivalent(Genotype.of(["none", "top_down", "none"]), Genotype.of(["top_down"]))


def test_hash_of_the_published_genotype_never_changes() -> None:
    assert canonical_hash(resolve_genotype("opa-fpn")) == PUBLISHED_HASH


def test_hash_does_not_depend_on_the_process() -> None:
    code = (
        "from opanas_cli.formats import resolve_genotype as r;"
        "from opanas_cli.genotype.architecture import canonical_hash as h; print(h(r('opa-fpn')))"
    )
    for seed in ("1", "2"):
        ran = subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        )
        assert ran.stdout.strip() == PUBLISHED_HASH


def twins(count: int) -> Genotype:
    """All nodes take the input top-down and nothing else."""
    space = SearchSpace(count)
    return Genotype(tuple(PathType.TOP_DOWN if edge.source == 0 else PathType.NONE for edge in space.edges))


def twin_pairs(count: int) -> Genotype:
    """Nodes 1…count take the input; node count+i takes node i."""
    space = SearchSpace(2 * count)
    wanted = {(0, node) for node in range(1, count + 1)} | {(node, count + node) for node in range(1, count + 1)}
    return Genotype(tuple(PathType.TOP_DOWN if edge in wanted else PathType.NONE for edge in space.edges))


def complete_layers(count: int) -> Genotype:
    """Each of the later `count` nodes takes all of the first `count`."""
    space = SearchSpace(2 * count)
    return Genotype(
        tuple(
            PathType.TOP_DOWN
            if (edge.source == 0) is (edge.target <= count) and edge.source <= count
            else PathType.NONE
            for edge in space.edges
        )
    )


def crown(count: int, gap: int) -> Genotype:
    """As `complete_layers`, but each later node leaves out `gap` of the first, cyclically."""
    full = complete_layers(count)
    left_out = {(1 + (place + shift) % count, count + 1 + place) for place in range(count) for shift in range(gap)}
    return Genotype(
        tuple(PathType.NONE if edge in left_out else path for edge, path in full.items()),
    )


@pytest.mark.parametrize(
    "genotype",
    [twins(12), twins(30), twin_pairs(6), twin_pairs(12), complete_layers(6), complete_layers(12)]
    + [Genotype((PathType.SKIP_CONNECT,) * 78)]
    + [crown(count, gap) for count in (6, 12) for gap in (1, 2, 3, 4, 5)],
    ids=lambda genotype: str(genotype.num_nodes),
)
def test_symmetry_does_not_blow_up(genotype: Genotype) -> None:
    count = genotype.num_nodes
    orders = [list(range(count, 0, -1)), *(Random(seed).sample(range(1, count + 1), count) for seed in range(3))]
    copies = [relabelled(genotype, order) for order in orders]
    start = perf_counter()
    assert all(Architecture(genotype) == Architecture(copy) for copy in copies)
    assert perf_counter() - start < 2


def rings(*sizes: int) -> Genotype:
    """The first half of the nodes takes the input, and each of the others two of these, so that they form rings."""
    count = sum(sizes) // 2
    wanted, first = {(0, node) for node in range(1, count + 1)}, 0
    for half in (size // 2 for size in sizes):
        ring = range(1 + first, 1 + first + half)
        wanted |= {(ring[(place + step) % half], count + ring[place]) for place in range(half) for step in (0, 1)}
        first += half
    space = SearchSpace(2 * count)
    return Genotype(tuple(PathType.TOP_DOWN if edge in wanted else PathType.NONE for edge in space.edges))


@pytest.mark.parametrize("half", [6, 12, 32])
def test_different_architectures_of_one_hash(half: int) -> None:
    """Colour refinement cannot tell one ring from two of half its size; the comparison can."""
    one, two = rings(2 * half), rings(half, half)
    assert canonical_hash(one) == canonical_hash(two)
    start = perf_counter()
    assert compare(one, two).relation == "different"
    assert len({Architecture(one), Architecture(two)}) == 2
    assert perf_counter() - start < 2


def naive_class(genotype: Genotype) -> tuple[object, ...]:
    """The least of all encodings under permutations of the live nodes: exact and slow."""
    live = live_nodes(genotype)
    places = {(edge.source, edge.target): path.value for edge, path in prune(genotype).items()}

    def code(order: Sequence[int]) -> tuple[str, ...]:
        nodes = (0, *order)
        return tuple(places.get((a, b), "none") for a in nodes for b in nodes)

    return (len(live), min(code(order) for order in permutations(live)))


def is_valid(genotype: Genotype) -> bool:
    try:
        validate(genotype)
    except InvalidGenotypeError:
        return False
    return True


@pytest.mark.parametrize(
    ("num_nodes", "size", "valid", "classes"), [(1, 6, 5, 5), (2, 216, 210, 170), (3, 46656, 46440, 32230)]
)
def test_counts_of_small_spaces(num_nodes: int, size: int, valid: int, classes: int) -> None:
    """By hand for two nodes: 6 of 216 are dead, both edges out of the input being `none`. The classes are 5 with one
    live node, 15 pairs without an edge between them, and 5 * 6 * 5 with one: 170."""
    space = SearchSpace(num_nodes)
    assert space.size == size
    by_hash: dict[str, set[object]] = defaultdict(set)
    by_definition: dict[object, set[str]] = defaultdict(set)
    count = 0
    for genotype in filter(is_valid, space):
        count += 1
        ours, naive = canonical_hash(genotype), naive_class(genotype)
        by_hash[ours].add(naive)
        by_definition[naive].add(ours)
    assert all(len(met) == 1 for met in [*by_hash.values(), *by_definition.values()])
    assert (count, len(by_hash)) == (valid, classes)


def test_facts() -> None:
    facts = facts_of(Genotype.of(["top_down", "none", "bottom_up"]))
    assert facts.pop("canonical_hash")
    assert facts == {
        "space": "dense",
        "num_nodes": 2,
        "num_edges": 3,
        "live_edges": [
            {"source": 0, "target": 1, "path": "top_down"},
            {"source": 1, "target": 2, "path": "bottom_up"},
        ],
        "live_nodes": [1, 2],
        "output_nodes": [1, 2],
        "space_size": {"base": 6, "exponent": 3},
    }


def test_facts_are_plain() -> None:
    facts = facts_of(Genotype.of(["skip_connect"] * 3, "chain"))
    assert json.loads(json.dumps(facts)) == facts


def test_relations() -> None:
    one = Genotype.of(["top_down", "bottom_up", "none"])
    other = Genotype.of(["bottom_up", "top_down", "none"])
    assert compare(one, one).relation == "equal"
    assert compare(one, one).differing_edges == []
    twins = compare(one, other)
    assert twins.relation == "equivalent"
    assert twins.canonical_hashes[0] == twins.canonical_hashes[1]
    assert twins.differing_edges == [
        {"source": 0, "target": 1, "a": "top_down", "b": "bottom_up"},
        {"source": 0, "target": 2, "a": "bottom_up", "b": "top_down"},
    ]
    unlike = compare(one, Genotype.of(["top_down", "top_down"], "chain"))
    assert (unlike.relation, unlike.differing_edges) == ("different", None)
    # A dense genotype sums its nodes and a chain does not, but of one node they are one architecture.
    assert compare(Genotype.of(["top_down"]), Genotype.of(["top_down"], "chain")).relation == "equivalent"
