"""Facts of genotypes."""

from __future__ import annotations

import json

from opanas_cli.genotype import Genotype
from opanas_cli.genotype.facts import compare, facts_of


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
