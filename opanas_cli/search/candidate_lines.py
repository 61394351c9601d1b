"""Lines of JSON that carry their own checksum, and candidates as such lines."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Any

from opanas_cli.errors import InvalidInputError, OpanasError
from opanas_cli.genotype import Genotype, SpaceKind
from opanas_cli.search.candidate import Candidate, Origin, Proposal
from opanas_cli.search.cost import Cost


def with_checksum(fields: Mapping[str, Any]) -> str:
    """One line, without its newline: the fields, and last ``crc32``, that of the line without it."""
    text = json.dumps(fields, allow_nan=False)
    return json.dumps({**fields, "crc32": f"{zlib.crc32(text.encode()):08x}"})


def dump_candidate(candidate: Candidate) -> str:
    """One line, without its newline; paths in flat order. The same candidate gives the same text everywhere."""
    proposal = candidate.proposal
    fields = {
        "index": candidate.index,
        "generation": proposal.generation,
        "origin": proposal.origin,
        "parents": proposal.parents,
        "paths": proposal.genotype.paths,
        "cost": candidate.cost.document(),
        "fitness": candidate.fitness,
        "metrics": dict(candidate.metrics),
        **({"image_share": candidate.image_share} if candidate.image_share < 1 else {}),
    }
    return with_checksum(fields)


def load_candidate(line: str, index: int, space: SpaceKind) -> Candidate:
    """The candidate of a line, exactly as `dump_candidate` wrote it.

    Raises:
        InvalidInputError: it did not write that, or for another index; the checksum counts.
    """
    try:
        candidate = _candidate(json.loads(line), space)
        intact = dump_candidate(candidate) == line
    except KeyError as error:
        raise InvalidInputError(f"not a candidate ({error} is missing)") from error
    except (ValueError, OverflowError, TypeError, AttributeError, RecursionError, OpanasError) as error:
        raise InvalidInputError(f"not a candidate ({error})") from error
    if not intact or candidate.index != index:
        raise InvalidInputError(f"not candidate {index} as it was written")
    return candidate


def _candidate(fields: Mapping[str, Any], space: SpaceKind) -> Candidate:
    genotype = Genotype.of(fields["paths"], space)
    parents = tuple(int(parent) for parent in fields["parents"])
    proposal = Proposal(genotype, int(fields["generation"]), Origin(fields["origin"]), parents)
    latency = {name: float(value) for name, value in fields["cost"].items() if name == "latency_ms"}
    cost = Cost(int(fields["cost"]["macs"]), int(fields["cost"]["params"]), **latency)
    metrics = {name: float(value) for name, value in fields["metrics"].items()}
    share = float(fields.get("image_share", 1.0))
    return Candidate(int(fields["index"]), proposal, cost, float(fields["fitness"]), metrics, share)
