"""The latency of the detector of any genotype, from the times of its parts on one device."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from opanas_cli.errors import InvalidInputError, OpanasError
from opanas_cli.genotype import Edge, Genotype, PathType
from opanas_cli.genotype.liveness import live_edges, output_nodes
from opanas_cli.search.cost import Cost

FORMAT = "opanas-latency"
VERSION = 1


@dataclass(frozen=True, slots=True)
class LatencyTable:
    """Milliseconds of the parts of a detector, for one image.

    Args:
        conditions: what was measured, on what and with what, as JSON-able values.
        fixed_ms: all but the paths and the sums between them: backbone, laterals, heads, what follows the heads.
        sum_ms: one sum of two pyramids.
        paths_ms: each edge with each path that has a builder. The other paths take no time.
    """

    conditions: Mapping[str, Any]
    fixed_ms: float
    sum_ms: float
    paths_ms: Mapping[tuple[Edge, PathType], float]

    def predict(self, genotype: Genotype) -> float:
        """The latency of the detector with this genotype: the sum of all that runs; KeyError if it was not measured."""
        live = live_edges(genotype)
        num_sums = len(live) - len({edge.target for edge, _ in live}) + len(output_nodes(genotype)) - 1
        paths = sum(self.paths_ms[edge, path] for edge, path in live if path.builder)
        return self.fixed_ms + num_sums * self.sum_ms + paths

    @property
    def digest(self) -> str:
        """The SHA-256 of the table, in hex."""
        return hashlib.sha256(json.dumps(self.document()).encode()).hexdigest()

    def document(self) -> dict[str, Any]:
        """The table as JSON-able values."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "conditions": dict(self.conditions),
            "fixed_ms": self.fixed_ms,
            "sum_ms": self.sum_ms,
            "paths": [
                {"source": edge.source, "target": edge.target, "path": path.value, "ms": milliseconds}
                for (edge, path), milliseconds in self.paths_ms.items()
            ],
        }


def with_latency(cost_of: Callable[[Genotype], Cost], table: LatencyTable) -> Callable[[Genotype], Cost]:
    """A cost that includes the latency."""
    return lambda genotype: replace(cost_of(genotype), latency_ms=table.predict(genotype))


def parse_latency_table(text: str, where: str) -> LatencyTable:
    """The table in `text`, which `where` names in messages; InvalidInputError if it is none of this version."""
    try:
        document = json.loads(text)
        if (document["format"], document["version"]) != (FORMAT, VERSION):
            raise ValueError(f"a {document['format']!r} of version {document['version']!r}")
        paths = {
            (Edge(int(row["source"]), int(row["target"])), PathType.parse(row["path"])): _milliseconds(row["ms"])
            for row in document["paths"]
        }
        fixed, one_sum = _milliseconds(document["fixed_ms"]), _milliseconds(document["sum_ms"])
        return LatencyTable(dict(document["conditions"]), fixed, one_sum, paths)
    except (ValueError, KeyError, TypeError, RecursionError, OpanasError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise InvalidInputError(
            f"{where}: is not a latency table of version {VERSION} ({reason:.80}); delete it to measure again"
        ) from error


def _milliseconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
        raise ValueError(f"{value!r} is not a number of milliseconds")
    return float(value)
