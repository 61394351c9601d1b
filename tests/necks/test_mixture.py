"""The mixture of all paths against loops over the super-net's own sub-nets, and against a naive sum."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from opanas_cli.genotype import Genotype, SearchSpace
from opanas_cli.necks.mixture import WEIGHTINGS, run_mixture
from opanas_cli.necks.super_net import OPASuperNet


def super_net(space: str = "dense", **options: object) -> OPASuperNet:
    torch.manual_seed(0)
    neck = OPASuperNet([4, 6, 8], 4, 4, num_nodes=2, space=space, **options).double()
    with torch.no_grad():
        for parameter in neck.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return neck


def features() -> list[Tensor]:
    torch.manual_seed(1)
    return [torch.rand(2, channels, side, side, dtype=torch.double) for channels, side in ((4, 16), (6, 8), (8, 4))]


@pytest.mark.parametrize("importance", [True, False])
@pytest.mark.parametrize("space", ["dense", "chain"])
def test_weights_of_one_path_each_give_the_sub_net(space: str, importance: bool) -> None:
    neck = super_net(space, edge_importance=importance)
    edges = neck.search_space.edges
    genotype = Genotype.of(["fusing_splitting", "skip_connect", "top_down"][: len(edges)], space)
    chosen = [neck.search_space.paths.index(path) for path in genotype.paths]
    weights = torch.nn.functional.one_hot(torch.tensor(chosen), len(neck.search_space.paths)).double()
    expected = neck(features(), genotype)
    for got, wanted in zip(run_mixture(neck, neck.project(features()), weights), expected, strict=True):
        assert torch.allclose(got, wanted, rtol=1e-12, atol=1e-12)


def test_a_mixture_is_the_weighted_sum_of_all_paths() -> None:
    neck = super_net()
    weights = torch.rand(3, 6, dtype=torch.double)
    nodes = [neck.project(features())]
    for target in (1, 2):
        levels = [torch.zeros_like(level) for level in nodes[0]]
        for row, edge in enumerate(SearchSpace(2).edges):
            for column, path in enumerate(SearchSpace(2).paths[:-1]):
                if edge.target == target:
                    carried = neck.run_edge(nodes[edge.source], f"{edge.source}_{target}", path)
                    levels = [sum_ + weights[row, column] * new for sum_, new in zip(levels, carried, strict=True)]
        nodes.append(levels)
    expected = neck.extra_outputs([one + two for one, two in zip(*nodes[1:], strict=True)])
    for got, wanted in zip(run_mixture(neck, nodes[0], weights), expected, strict=True):
        assert torch.allclose(got, wanted, rtol=1e-12, atol=1e-12)


def test_every_path_and_every_weight_but_that_of_none_gets_a_gradient() -> None:
    neck = super_net()
    architecture = torch.zeros(3, 6, dtype=torch.double, requires_grad=True)
    outputs = run_mixture(neck, neck.project(features()), WEIGHTINGS["fair-darts"](architecture))
    sum(level.square().sum() for level in outputs).backward()
    assert architecture.grad is not None
    assert architecture.grad[:, :-1].all()
    assert not architecture.grad[:, -1].any()
    assert [name for name, parameter in neck.named_parameters() if parameter.grad is None] == []


def test_the_weights_of_paths() -> None:
    architecture = torch.tensor([[0.0, 0.0, torch.log(torch.tensor(2.0))]])
    assert torch.allclose(WEIGHTINGS["darts"](architecture), torch.tensor([[0.25, 0.25, 0.5]]))
    assert torch.allclose(WEIGHTINGS["fair-darts"](architecture), torch.tensor([[0.5, 0.5, 2 / 3]]))
