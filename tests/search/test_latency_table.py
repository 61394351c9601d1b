"""The prediction of a latency table, and the table as a file."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opanas_cli.errors import InvalidInputError
from opanas_cli.genotype import PAPER_PATHS, Genotype, SearchSpace, SpaceKind
from opanas_cli.genotype.liveness import live_edges, output_nodes
from opanas_cli.search import Cost
from opanas_cli.search.latency_table import LatencyTable, parse_latency_table, with_latency


def table_of(space: SearchSpace) -> LatencyTable:
    parts = [(edge, path) for edge in space.edges for path in space.parameterised_paths]
    return LatencyTable({"device": "a clock"}, 100.0, 0.25, {part: 1.0 + i / 3 for i, part in enumerate(parts)})


spaces = st.builds(SearchSpace, st.integers(1, 4), st.sampled_from(SpaceKind))


@settings(deadline=None)
@given(spaces, st.data())
def test_the_prediction_is_what_is_run_one_after_the_other(space: SearchSpace, data: st.DataObject) -> None:
    paths = data.draw(st.lists(st.sampled_from(PAPER_PATHS), min_size=len(space.edges), max_size=len(space.edges)))
    genotype, table = Genotype(tuple(paths), space.kind), table_of(space)
    if not output_nodes(genotype):
        return

    expected, nodes = table.fixed_ms, {0}
    for edge, path in live_edges(genotype):
        expected += table.paths_ms.get((edge, path), 0.0)
        if edge.target in nodes:
            expected += table.sum_ms
        nodes.add(edge.target)
    expected += table.sum_ms * (len(output_nodes(genotype)) - 1)

    assert table.predict(genotype) == pytest.approx(expected)


def test_the_lightest_genotype_takes_what_is_fixed() -> None:
    assert table_of(SearchSpace(3)).predict(Genotype.of(["skip_connect", *["none"] * 5])) == 100.0


def test_a_cost_with_latency_is_the_cost_and_the_prediction() -> None:
    genotype = Genotype.of(["top_down", "none", "bottom_up"])
    table = table_of(SearchSpace(2))

    cost = with_latency(lambda _: Cost(5, 7), table)(genotype)

    assert cost == Cost(5, 7, table.predict(genotype))


def test_a_table_survives_its_file_with_every_bit() -> None:
    table = table_of(SearchSpace(3))

    again = parse_latency_table(json.dumps(table.document()), "latency.json")

    assert again == table
    assert again.digest == table.digest
    assert again.digest != LatencyTable({}, 100.0, 0.25, table.paths_ms).digest


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document.update(format="opanas-history"),
        lambda document: document.update(version=2),
        lambda document: document.pop("fixed_ms"),
        lambda document: document.update(sum_ms=float("nan")),
        lambda document: document.update(fixed_ms=-1.0),
        lambda document: document.update(fixed_ms="1"),
        lambda document: document.update(conditions=7),
        lambda document: document["paths"][0].update(path="top_dwn"),
        lambda document: document["paths"][0].update(ms=True),
        lambda document: document.update(paths=None),
    ],
)
def test_what_is_no_table_is_refused(change) -> None:
    document = table_of(SearchSpace(2)).document()
    change(document)

    with pytest.raises(InvalidInputError, match=r"latency\.json: is not a latency table of version 1 .*; delete it"):
        parse_latency_table(json.dumps(document), "latency.json")


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "[" * 100_000])
def test_rubbish_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match="is not a latency table"):
        parse_latency_table(text, "latency.json")
