"""The genotype, its edges and its spaces."""

from __future__ import annotations

import dataclasses

import pytest

from opanas_cli.errors import InvalidGenotypeError
from opanas_cli.genotype import Edge, Genotype, PathType, SearchSpace, SpaceKind, edge_index, space_edges
from opanas_cli.genotype.edges import MAX_NODES, num_edges


@pytest.mark.parametrize("kind", SpaceKind)
@pytest.mark.parametrize("num_nodes", [1, 2, 5, 9])
def test_the_flat_index_is_the_place_in_flat_order(kind: SpaceKind, num_nodes: int) -> None:
    edges = space_edges(kind, num_nodes)
    assert [edge_index(*edge, kind) for edge in edges] == list(range(len(edges)))
    genotype = Genotype((PathType.TOP_DOWN,) * len(edges), kind)
    assert genotype.num_nodes == num_nodes
    assert genotype.edges == edges


def test_flat_order_is_by_target_then_source() -> None:
    assert space_edges(SpaceKind.DENSE, 3) == (
        Edge(0, 1), Edge(0, 2), Edge(1, 2), Edge(0, 3), Edge(1, 3), Edge(2, 3),
    )  # fmt: skip
    assert edge_index(3, 5) == 5 * 4 // 2 + 3


def test_size_of_the_published_space() -> None:
    """Section 3.2: six paths on fifteen edges."""
    assert SearchSpace(5).size == 6**15
    assert SearchSpace(5, SpaceKind.CHAIN).size == 6**5


@pytest.mark.parametrize(("source", "target"), [(1, 1), (2, 1), (-1, 2)])
def test_an_edge_points_forward(source: int, target: int) -> None:
    with pytest.raises(InvalidGenotypeError, match="has no edge"):
        edge_index(source, target)
    with pytest.raises(InvalidGenotypeError, match="chain space has no edge 0->2"):
        edge_index(0, 2, SpaceKind.CHAIN)


@pytest.mark.parametrize("count", [0, 2, 4, 5, 14])
def test_a_number_of_paths_that_fits_no_genotype(count: int) -> None:
    with pytest.raises(InvalidGenotypeError, match=f"but got {count}$"):
        Genotype.of(["top_down"] * count)


@pytest.mark.parametrize("paths", [("top_down",), [PathType.TOP_DOWN], "x"])
def test_plain_names_are_not_paths(paths: object) -> None:
    with pytest.raises(InvalidGenotypeError, match=r"use Genotype\.of"):
        Genotype(paths)  # type: ignore[arg-type]


def test_an_empty_chain() -> None:
    with pytest.raises(InvalidGenotypeError, match="at least 1"):
        Genotype.of([], "chain")


@pytest.mark.parametrize(
    ("name", "hint"),
    [("top_dwn", "did you mean 'top_down'"), ("TOP_DOWN", "did you mean 'top_down'"), (7, "choose one")],
)
def test_an_unknown_path_gets_a_suggestion(name: object, hint: str) -> None:
    with pytest.raises(InvalidGenotypeError, match=hint):
        Genotype.of([name])  # type: ignore[list-item]


@pytest.mark.parametrize("space", SpaceKind)
def test_a_genotype_of_too_many_nodes_is_refused(space: SpaceKind) -> None:
    assert Genotype.of(["none"] * num_edges(space, MAX_NODES), space).num_nodes == MAX_NODES
    with pytest.raises(InvalidGenotypeError, match="expected 1 to 64 intermediate nodes, but got 65"):
        Genotype.of(["none"] * num_edges(space, MAX_NODES + 1), space)


def test_an_unknown_space_is_refused() -> None:
    with pytest.raises(InvalidGenotypeError, match="'ring' is not a space; choose 'dense' or 'chain'"):
        Genotype.of(["top_down"], "ring")


def test_a_genotype_is_immutable_and_hashable() -> None:
    genotype = Genotype.of(["top_down"])
    with pytest.raises(dataclasses.FrozenInstanceError):
        genotype.space = SpaceKind.CHAIN  # type: ignore[misc]
    assert {genotype, Genotype.of(["top_down"])} == {genotype}
    assert genotype != Genotype.of(["top_down"], "chain")


def test_a_space_contains_its_genotypes_only() -> None:
    space = SearchSpace(2, paths=(PathType.TOP_DOWN, PathType.NONE))
    everything = list(space)
    assert len(everything) == len(set(everything)) == space.size == 8
    assert all(genotype in space for genotype in everything)
    assert Genotype.of(["bottom_up", "none", "none"]) not in space
    assert Genotype.of(["top_down"]) not in space
    assert space.parameterised_paths == (PathType.TOP_DOWN,)


@pytest.mark.parametrize("paths", [(), (PathType.NONE,), (PathType.TOP_DOWN, PathType.TOP_DOWN)])
def test_a_space_without_choice_is_refused(paths: tuple[PathType, ...]) -> None:
    with pytest.raises(InvalidGenotypeError):
        SearchSpace(2, paths=paths)


def test_a_space_is_spelled_as_in_a_config() -> None:
    assert SearchSpace.of() == SearchSpace()
    space = SearchSpace.of(2, "chain", ["top_down", "none"])
    assert space == SearchSpace(2, SpaceKind.CHAIN, (PathType.TOP_DOWN, PathType.NONE))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"num_nodes": "x"}, "num_nodes must be a whole number, but got 'x'"),
        ({"num_nodes": True}, "num_nodes must be a whole number, but got True"),
        ({"num_nodes": 0}, "expected 1 to 64 intermediate nodes, but got 0"),
        ({"num_nodes": 65}, "expected 1 to 64 intermediate nodes, but got 65"),
        ({"num_nodes": 10**9, "space": "chain"}, "expected 1 to 64 intermediate nodes, but got 1000000000"),
        ({"space": "tree"}, "'tree' is not a space; choose 'dense' or 'chain'"),
        ({"space": None}, "None is not a space"),
        ({"paths": "top_down"}, "paths must be a list of information paths, but got 'top_down'"),
        ({"paths": []}, "at least one path besides 'none'"),
        ({"paths": ["top_dwn"]}, "did you mean 'top_down'"),
    ],
)
def test_a_space_that_is_none_is_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidGenotypeError, match=said):
        SearchSpace.of(**settings)
