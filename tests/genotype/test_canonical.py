"""The canonical form against networkx's isomorphism, and counts of small spaces by enumeration."""

from __future__ import annotations

import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from itertools import permutations
from time import perf_counter

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opanas_cli.errors import InvalidGenotypeError
from opanas_cli.formats import resolve_genotype
from opanas_cli.genotype import PAPER_PATHS, Genotype, PathType, SearchSpace, SpaceKind
from opanas_cli.genotype.canonical import canonical_form, canonical_hash, equivalent
from opanas_cli.genotype.dag import to_digraph
from opanas_cli.genotype.liveness import live_nodes, prune, validate

PUBLISHED_HASH = "a10113e4ffe1934c"


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
    graph = nx.DiGraph()
    graph.add_nodes_from(range(genotype.num_nodes + 1))
    graph.add_edges_from((edge.source, edge.target) for edge, path in genotype.items() if path is not PathType.NONE)
    rank = {0: -1, **{node: place for place, node in enumerate(order, start=1)}}
    nodes = list(nx.lexicographical_topological_sort(graph, key=rank.__getitem__))
    paths = []
    for target in range(1, len(nodes)):
        for source in range(target):
            known = nodes[source] < nodes[target]
            paths.append(genotype.path(nodes[source], nodes[target]) if known else PathType.NONE)
    return Genotype(tuple(paths))


@given(ANY, ANY)
@settings(deadline=None, max_examples=300)
def test_hashes_are_equal_exactly_for_isomorphic_graphs(first: Genotype, second: Genotype) -> None:
    same = isomorphic(first, second)
    assert equivalent(first, second) is same
    assert (canonical_hash(first) == canonical_hash(second)) is same


@given(ANY.filter(lambda genotype: genotype.space is SpaceKind.DENSE), st.data())
@settings(deadline=None, max_examples=300)
def test_a_relabelled_copy_is_equivalent(genotype: Genotype, data: st.DataObject) -> None:
    pruned = prune(genotype)
    order = data.draw(st.permutations(range(1, genotype.num_nodes + 1)))
    copy = relabelled(pruned, order)
    assert isomorphic(genotype, copy)
    assert canonical_hash(genotype) == canonical_hash(copy)
    assert canonical_form(genotype) == canonical_form(copy)


@given(ANY)
@settings(deadline=None, max_examples=200)
def test_the_canonical_form_is_an_equivalent_genotype_without_dead_nodes(genotype: Genotype) -> None:
    form = canonical_form(genotype)
    assert canonical_form(form) == form
    assert isomorphic(genotype, form)
    if form.paths != (PathType.NONE,):
        assert form.num_nodes == len(live_nodes(form))
        assert prune(form) == form


@given(ANY)
@settings(deadline=None, max_examples=100)
def test_dead_parts_do_not_matter(genotype: Genotype) -> None:
    assert canonical_hash(prune(genotype)) == canonical_hash(genotype)


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
        "from opanas_cli.genotype.canonical import canonical_hash as h; print(h(r('opa-fpn')))"
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
    + [crown(count, gap) for count in (6, 12) for gap in (1, 2, 3, 4, 5)],
    ids=lambda genotype: str(genotype.num_nodes),
)
def test_symmetry_does_not_blow_up(genotype: Genotype) -> None:
    count = genotype.num_nodes
    copy = relabelled(genotype, list(range(count, 0, -1)))
    start = perf_counter()
    assert canonical_hash(genotype) == canonical_hash(copy)
    assert perf_counter() - start < 2


def test_the_complete_chain_of_skips_is_fast() -> None:
    genotype = Genotype((PathType.SKIP_CONNECT,) * 78)
    assert canonical_form(genotype) == genotype


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
