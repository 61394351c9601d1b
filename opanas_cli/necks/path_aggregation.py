"""The neck itself: a graph of information paths between feature pyramids. It knows edges, not genotypes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from opanas_cli.necks.convolution import PathOptions
from opanas_cli.necks.information_paths import build_path
from opanas_cli.necks.initialization import initialize
from opanas_cli.necks.pyramid import InputPyramid, OutputPyramid


class PathAggregationNeck(nn.Module):
    """A feature pyramid network given by its edges (section 3.2).

    Node 0 is the pyramid of the backbone; every other node is the sum of its incoming edges (Eq. 7), each times its
    edge importance γ if there is one (Eq. 10); the output is the sum of `output_nodes`.

    Args:
        in_channels: channels of the backbone's feature maps, finest first.
        out_channels: channels of every pyramid level.
        num_outs: number of output levels; those that the feature maps do not give are added as `extra_convs` says.
        edges: (source, target, path) sorted by target, those that carry `none` left out. Parallel edges of different
            paths are built too, for a super-net.
        output_nodes: the nodes whose sum is the output.
        start_level: index of the first feature map used.
        extra_convs: False keeps every second pixel of the coarsest output for each extra level (R-CNNs). True makes the
            first extra level by a convolution before the paths run, which then work on it too, and the others by a
            convolution of the output (RetinaNet).
        deformable: False makes all convolutions plain.
        share_fusing: whether the two convolutions of fusing-splitting are one.
        norm_cfg: mmdet-style norm after laterals, paths and extra convolutions, such as `dict(type="BN")`.
        act_cfg: mmdet-style activation after these, such as `dict(type="ReLU")`.
        output_norm_cfg: mmdet-style norm of every level of the output, so that the heads see values of one scale,
            however many nodes and edges are summed; the extra levels are made of normalised ones.
        edge_importance: whether edges carry γ, a parameter that starts at 1. It is not folded into the weights at the
            source, because deformable offsets and the ReLU keep later paths from being linear in it.
        init: how the weights start, see `initialize`.

    Raises:
        ValueError: arguments contradict one another.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int,
        num_outs: int,
        edges: Sequence[tuple[int, int, str]],
        output_nodes: Sequence[int],
        start_level: int = 0,
        extra_convs: bool = False,
        deformable: bool = True,
        share_fusing: bool = True,
        norm_cfg: Mapping[str, Any] | None = None,
        act_cfg: Mapping[str, Any] | None = None,
        output_norm_cfg: Mapping[str, Any] | None = None,
        edge_importance: bool = False,
        init: str = "xavier",
    ) -> None:
        super().__init__()
        if min(*in_channels, out_channels) < 1:
            raise ValueError(f"channels must be at least 1, but got {list(in_channels)} and {out_channels}")
        check_levels(len(in_channels), num_outs, start_level, extra_convs)
        _check_graph(edges, output_nodes)
        self.in_channels = tuple(in_channels)
        self.start_level = start_level
        self.edges = tuple((source, target, str(path)) for source, target, path in edges)
        self.output_nodes = tuple(output_nodes)
        num_maps = len(in_channels) - start_level
        extra_level = extra_convs and num_outs > num_maps
        num_levels = num_maps + extra_level
        options = PathOptions(deformable, share_fusing, norm_cfg, act_cfg)
        self.input_pyramid = InputPyramid(in_channels[start_level:], out_channels, options, extra_level)
        self.paths = nn.ModuleDict()
        for source, target, path in self.edges:
            edge = f"{source}_{target}"
            if edge not in self.paths:
                self.paths[edge] = nn.ModuleDict()
            self.paths[edge][path] = build_path(path, out_channels, num_levels, options)
        self.extra_outputs = OutputPyramid(
            num_levels, num_outs - num_levels, out_channels, options, extra_convs, output_norm_cfg
        )
        self.edge_importance = nn.Parameter(torch.ones(len(self.paths))) if edge_importance else None
        initialize(self, init)

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Feature maps (B, in_channels[i], H_i, W_i), finest first, to `num_outs` of (B, out_channels, H_i, W_i)."""
        return self.run_edges(self.project(features), self.edges, self.output_nodes)

    def project(self, features: Sequence[Tensor]) -> list[Tensor]:
        """The pyramid of node 0.

        Raises:
            ValueError: there are not as many feature maps as `in_channels`.
        """
        if len(features) != len(self.in_channels):
            raise ValueError(f"the neck takes {len(self.in_channels)} feature maps, but got {len(features)}")
        return self.input_pyramid(features[self.start_level :])

    def run_edges(
        self, pyramid: Sequence[Tensor], edges: Sequence[tuple[int, int, str]], output_nodes: Sequence[int]
    ) -> tuple[Tensor, ...]:
        """All outputs when only `edges`, in order, carry the pyramid of node 0 to the sum of `output_nodes`."""
        nodes: dict[int, Sequence[Tensor]] = {0: pyramid}
        for source, target, path in edges:
            carried = self.run_edge(nodes[source], f"{source}_{target}", path)
            nodes[target] = add_pyramids(nodes[target], carried) if target in nodes else carried
        output = nodes[output_nodes[0]]
        for node in output_nodes[1:]:
            output = add_pyramids(output, nodes[node])
        return tuple(self.extra_outputs(output))

    def run_edge(self, pyramid: Sequence[Tensor], edge: str, path: str) -> Sequence[Tensor]:
        """What one edge, called `SOURCE_TARGET`, carries of a pyramid by one of its paths, times its importance."""
        carried = self.paths[edge][path](pyramid)
        if self.edge_importance is None:
            return carried
        importance = self.edge_importance[list(self.paths).index(edge)]
        return [importance * level for level in carried]


def add_pyramids(left: Sequence[Tensor], right: Sequence[Tensor]) -> list[Tensor]:
    """The sum of two pyramids of the same shapes."""
    return [a + b for a, b in zip(left, right, strict=True)]


def check_levels(num_features: int, num_outs: int, start_level: int, extra_convs: bool) -> None:
    """Raises ValueError if a neck cannot make `num_outs` levels, or has fewer than two to work on."""
    if not 0 <= start_level < num_features:
        raise ValueError(f"start_level must be one of 0 to {num_features - 1}, but got {start_level}")
    num_maps = num_features - start_level
    if num_outs < num_maps:
        raise ValueError(
            f"num_outs must be at least {num_maps}, the number of feature maps from start_level {start_level} on, "
            f"but got {num_outs}"
        )
    if num_maps + (extra_convs and num_outs > num_maps) < 2:
        raise ValueError("information paths need at least two pyramid levels, but got one; lower start_level")


def _check_graph(edges: Sequence[tuple[int, int, str]], output_nodes: Sequence[int]) -> None:
    reached = {0}
    for source, target, path in edges:
        if not 0 <= source < target or source not in reached:
            raise ValueError(f"edge {source}->{target} ({path}) does not start at a node that edges before it reach")
        reached.add(target)
    if not output_nodes or not set(output_nodes) <= reached - {0}:
        raise ValueError(f"the output must be a sum of nodes that edges reach, but got nodes {list(output_nodes)}")
