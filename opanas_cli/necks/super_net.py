"""The super-net: every information path on every edge, of which one genotype runs at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from opanas_cli.errors import InvalidConfigError, InvalidGenotypeError
from opanas_cli.genotype import Genotype, PathType, SearchSpace, edge_index
from opanas_cli.genotype.liveness import live_edges, output_nodes, validate
from opanas_cli.necks.path_aggregation import PathAggregationNeck


class OPASuperNet(PathAggregationNeck):
    """The multigraph of section 3.2, with an edge importance γ per pair of nodes (Eq. 10).

    Args:
        num_nodes: the number N of intermediate nodes.
        space: `dense` or `chain`.
        paths: names of the paths an edge may carry; the paper's six by default.
        edge_importance: whether edges carry γ, one parameter for each pair of nodes in flat order, 1 at the start.
        **options: see `PathAggregationNeck`. Batch norm is refused: its running statistics would mix all sub-nets.

    Raises:
        InvalidGenotypeError: there is no such space.
        InvalidConfigError: the other arguments contradict one another, or the norm is batch norm.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int,
        num_outs: int,
        num_nodes: int = 5,
        space: str = "dense",
        paths: Sequence[str] | None = None,
        edge_importance: bool = True,
        **options: Any,
    ) -> None:
        search_space = SearchSpace.of(num_nodes, space, paths)
        built = [path.value for path in search_space.paths if path is not PathType.NONE]
        edges = [(edge.source, edge.target, path) for edge in search_space.edges for path in built]
        nodes = range(1, num_nodes + 1)
        try:
            super().__init__(
                in_channels, out_channels, num_outs, edges, nodes, edge_importance=edge_importance, **options
            )
        except ValueError as error:
            raise InvalidConfigError(f"neck: {error}") from error
        refuse_batch_norm(self, "neck")
        self.search_space = search_space
        self.genotype: Genotype | None = None

    def forward(self, features: Sequence[Tensor], genotype: Genotype | None = None) -> tuple[Tensor, ...]:
        """The outputs of one sub-net; without `genotype`, of the one set by `running`.

        Raises:
            InvalidGenotypeError: there is no genotype, it is not of this space, or nothing reaches its output.
        """
        chosen = self.genotype if genotype is None else genotype
        if chosen is None:
            raise InvalidGenotypeError("a super-net runs one genotype at a time: pass it, or call inside `running`")
        return self.aggregate(self.project(features), chosen)

    def aggregate(self, pyramid: Sequence[Tensor], genotype: Genotype) -> tuple[Tensor, ...]:
        """The outputs of one sub-net from the pyramid of node 0, which `project` makes. Runs live edges only.

        Raises:
            InvalidGenotypeError: the genotype is not of this space, or nothing reaches its output.
        """
        self.check(genotype)
        edges = [(edge.source, edge.target, path.value) for edge, path in live_edges(genotype)]
        return self.run_edges(pyramid, edges, output_nodes(genotype))

    @contextmanager
    def running(self, genotype: Genotype) -> Iterator[None]:
        """Inside, `forward` without a genotype runs this one: for detectors, which only pass the features on."""
        self.check(genotype)
        previous, self.genotype = self.genotype, genotype
        try:
            yield
        finally:
            self.genotype = previous

    def check(self, genotype: Genotype) -> None:
        """Raise InvalidGenotypeError unless the genotype is of this space and something reaches its output."""
        space = self.search_space
        if genotype not in space:
            raise InvalidGenotypeError(
                f"the super-net holds {space.kind} genotypes of {space.num_nodes} nodes with paths "
                f"{', '.join(space.paths)}, but got a {genotype.space} one of {genotype.num_nodes} nodes with paths "
                f"{', '.join(dict.fromkeys(genotype.paths))}; choose a genotype that was searched in this super-net"
            )
        validate(genotype)

    def edge_l1(self) -> Tensor | float:
        """‖γ‖₁, the second term of Eq. 12 before its weight μ; 0 without edge importances."""
        return 0.0 if self.edge_importance is None else self.edge_importance.abs().sum()


def refuse_batch_norm(part: nn.Module, name: str) -> None:
    """Raise InvalidConfigError if a part of a detector that all sub-nets run has batch norm, `name` being its setting.

    Its running statistics would mix all sub-nets.
    """
    if any(isinstance(module, _BatchNorm) for module in part.modules()):
        raise InvalidConfigError(
            f"{name}: norm_cfg: batch norm in a super-net would judge each sub-net by statistics of all of them; use "
            f"group norm: --cfg-options model.{name}.norm_cfg.type=GN model.{name}.norm_cfg.num_groups=8"
        )


def inherited_state_dict(super_net: OPASuperNet, genotype: Genotype) -> dict[str, Tensor]:
    """The state of the `OPAFPN` of this genotype, built with the super-net's options, edge_importance included.

    Only names are matched: both necks call a path `paths.SOURCE_TARGET.PATH`. Edge importances are those of the live
    edges.

    Raises:
        InvalidGenotypeError: the genotype is not of the super-net's space, or nothing reaches its output.
    """
    super_net.check(genotype)
    edges = live_edges(genotype)
    prefixes = tuple(f"paths.{edge.source}_{edge.target}.{path}." for edge, path in edges)
    state = super_net.state_dict()
    inherited = {
        name: value for name, value in state.items() if not name.startswith("paths.") or name.startswith(prefixes)
    }
    if super_net.edge_importance is not None:
        inherited["edge_importance"] = state["edge_importance"][
            [edge_index(*edge, genotype.space) for edge, _ in edges]
        ]
    return inherited
