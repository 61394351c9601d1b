"""The result of a search: the best genotype as a record, and the population as a document."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from opanas_cli.formats.json_format import document_of
from opanas_cli.formats.registry import GenotypeRecord
from opanas_cli.genotype.architecture import Architecture
from opanas_cli.search.candidate import Candidate
from opanas_cli.search.cost import Resource

FORMAT = "opanas-population"
VERSION = 1


def record_of(candidate: Candidate, provenance: Mapping[str, Any], **more: Any) -> GenotypeRecord:
    """The candidate's genotype with its metrics, its cost, and where it comes from.

    The genotype is the one that was evaluated, dead edges included. `provenance` is what the caller knows about the
    search, as JSON-able values; the candidate's own place in the search is added to it. `more` joins its metadata.
    """
    proposal = candidate.proposal
    place = {
        "candidate": candidate.index,
        "generation": proposal.generation,
        "origin": proposal.origin.value,
        "parents": list(proposal.parents),
    }
    metadata = {
        "fitness": dict(candidate.metrics),
        "cost": candidate.cost.document(),
        **more,
        "provenance": {**provenance, **place},
    }
    return GenotypeRecord(candidate.genotype, metadata)


def architectures(candidates: Iterable[Candidate]) -> dict[Architecture, list[Candidate]]:
    """The candidates by architecture, in the order of their first ones.

    Equivalent genotypes differ in fitness inside the super-net, where their nodes carry other weights, but are one
    architecture once trained on their own.
    """
    groups: dict[Architecture, list[Candidate]] = {}
    for candidate in candidates:
        groups.setdefault(Architecture(candidate.genotype), []).append(candidate)
    return groups


def population_document(
    population: Iterable[Candidate],
    front: Iterable[Candidate],
    against: Resource,
    metric: str,
    provenance: Mapping[str, Any],
) -> dict[str, Any]:
    """The architectures of a population, best first, and those of a Pareto front against a cost, cheapest first."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "metric": metric,
        "architectures": _described(population, provenance),
        "pareto": {"against": against.value, "architectures": _described(front, provenance)},
    }


def _described(candidates: Iterable[Candidate], provenance: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each architecture with the genotype of the first of its candidates."""
    return [
        {
            "canonical_hash": architecture.digest,
            "fitness": group[0].fitness,
            "cost": group[0].cost.document(),
            "candidates": [{"index": candidate.index, "fitness": candidate.fitness} for candidate in group],
            "genotype": document_of(record_of(group[0], provenance)),
        }
        for architecture, group in architectures(candidates).items()
    ]
