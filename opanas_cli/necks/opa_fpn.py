"""The neck of one genotype."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from opanas_cli.errors import InvalidConfigError
from opanas_cli.formats import resolve_genotype
from opanas_cli.genotype import Genotype
from opanas_cli.genotype.liveness import live_edges, output_nodes
from opanas_cli.necks.path_aggregation import PathAggregationNeck


class OPAFPN(PathAggregationNeck):
    """The feature pyramid network that a genotype describes, a neck for any detector (section 3).

    Dead nodes and edges are neither built nor run: the released model runs them on zeros and so adds the biases of
    their convolutions, which this one does not.

    Args:
        genotype: a `Genotype`, a name (`opa-fpn`), a file, the content of a genotype's JSON, or a list of path names.
        **options: see `PathAggregationNeck`.

    Raises:
        InvalidGenotypeError: the genotype is malformed, or nothing reaches its output.
        InvalidConfigError: the other arguments contradict one another.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int,
        num_outs: int,
        genotype: Genotype | str | Path | Mapping[str, Any] | Sequence[str],
        **options: Any,
    ) -> None:
        resolved = resolve_genotype(genotype)
        edges = [(edge.source, edge.target, path.value) for edge, path in live_edges(resolved)]
        try:
            super().__init__(in_channels, out_channels, num_outs, edges, output_nodes(resolved), **options)
        except ValueError as error:
            raise InvalidConfigError(f"neck: {error}") from error
        self.genotype = resolved
