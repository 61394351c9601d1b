"""The best genotype and the population as they are written to disk."""

from __future__ import annotations

import json

from opanas_cli.formats import json_format
from opanas_cli.genotype import Genotype
from opanas_cli.search import Candidate, Cost, Origin, Proposal, Resource, fittest
from opanas_cli.search.findings import population_document, record_of


def candidate(index, paths, fitness):
    proposal = Proposal(Genotype.of(paths), 3, Origin.CROSSOVER, (1, 2))
    return Candidate(index, proposal, Cost(199_200_000_000, 35_510_000), fitness, {"AP": fitness, "AP50": 0.5})


def test_the_record_tells_fitness_cost_and_provenance_and_survives_the_file():
    record = record_of(candidate(7, ["top_down", "none", "bottom_up"], 0.1 + 0.2), {"seed": 0, "supernet": "sha256:01"})

    assert record.metadata == {
        "fitness": {"AP": 0.1 + 0.2, "AP50": 0.5},
        "cost": {"macs": 199_200_000_000, "params": 35_510_000},
        "provenance": {
            "seed": 0,
            "supernet": "sha256:01",
            "candidate": 7,
            "generation": 3,
            "origin": "crossover",
            "parents": [1, 2],
        },
    }
    assert json_format.loads(json_format.dumps(record), "best.json") == record


def test_isomorphic_candidates_are_reported_as_one_architecture():
    twins = [
        candidate(4, ["top_down", "skip_connect", "none"], 0.30),
        candidate(5, ["skip_connect", "top_down", "none"], 0.34),
    ]
    other = candidate(6, ["top_down", "none", "skip_connect"], 0.32)

    everyone = [*twins, other]
    document = population_document(fittest(everyone, 10), everyone[1:2], Resource.PARAMS, "AP", {"seed": 0})

    first, second = document["architectures"]
    assert first["candidates"] == [{"index": 5, "fitness": 0.34}, {"index": 4, "fitness": 0.30}]
    assert first["fitness"] == 0.34
    assert json_format.record_of(first["genotype"], "population.json") == record_of(twins[1], {"seed": 0})
    assert second["candidates"] == [{"index": 6, "fitness": 0.32}]
    assert first["canonical_hash"] != second["canonical_hash"]
    assert first["cost"] == {"macs": 199_200_000_000, "params": 35_510_000}
    assert document["pareto"] == {
        "against": "params",
        "architectures": [{**first, "candidates": [{"index": 5, "fitness": 0.34}]}],
    }
    assert json.loads(json.dumps(document)) == document
