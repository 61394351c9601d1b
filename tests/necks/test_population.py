"""A population run at once against its sub-nets one by one."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from opanas_cli.genotype import Genotype, SearchSpace
from opanas_cli.genotype.liveness import live_edges, output_nodes
from opanas_cli.necks import population
from opanas_cli.necks.population import run_population, split_pyramid, stack_pyramids
from opanas_cli.necks.sharing import INPUT, Sharing
from opanas_cli.necks.super_net import OPASuperNet
from opanas_cli.search.strategies.operators import sample

CHANNELS = 4


def draw(space: SearchSpace, count: int, seed: int) -> list[Genotype]:
    rng = np.random.default_rng(seed)
    return [sample(space, rng) for _ in range(count)]


def super_net(num_nodes: int, space: str = "dense", **options: object) -> OPASuperNet:
    torch.manual_seed(0)
    net = OPASuperNet([CHANNELS] * 3, CHANNELS, 4, num_nodes=num_nodes, space=space, **options).double().eval()
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if "offset" in name or "edge_importance" in name:
                parameter += 0.2 * torch.randn_like(parameter)
    return net


def input_pyramid(batch: int = 2, size: int = 12) -> list[torch.Tensor]:
    torch.manual_seed(1)
    return [torch.randn(batch, CHANNELS, -(-size // 2**i), -(-size // 2**i), dtype=torch.float64) for i in range(3)]


def naive_values(genotype: Genotype) -> dict[int, object]:
    """What each node holds as a nested expression."""
    values: dict[int, object] = {0: "input"}
    for edge, path in live_edges(genotype):
        term = (edge.source, edge.target, str(path), values[edge.source])
        values[edge.target] = (*values.get(edge.target, ()), term)
    return values


def num_calls_apart(genotypes: Sequence[Genotype]) -> int:
    """How many calls of paths there are if nothing is shared."""
    return sum(len(live_edges(genotype)) for genotype in genotypes)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.integers(1, 4), st.sampled_from(["dense", "chain"]), st.integers(1, 12))
def test_sharing_counts_the_different_values(seed: int, num_nodes: int, kind: str, count: int) -> None:
    genotypes = draw(SearchSpace.of(num_nodes, kind), count, seed)
    sharing = Sharing.of(genotypes)
    nodes, calls = set(), set()
    for genotype in genotypes:
        values = naive_values(genotype)
        nodes |= set(values.values())
        calls |= {term for value in values.values() if value != "input" for term in value}
    assert len(sharing.nodes) == len(nodes)
    assert len(sharing.calls) == len(calls)


@settings(deadline=None, max_examples=25)
@given(
    st.integers(0, 10_000),
    st.integers(1, 3),
    st.sampled_from(["dense", "chain"]),
    st.integers(1, 8),
    st.sampled_from([0.0, 0.02, 0.05, 0.1, float("inf")]),
    st.sampled_from([1, 4000, 2**20]),
)
def test_outputs_are_those_of_the_sub_nets_one_by_one(
    seed: int, num_nodes: int, kind: str, count: int, memory_mb: float, batch_numbers: int
) -> None:
    net = super_net(num_nodes, kind)
    genotypes = draw(net.search_space, count, seed)
    pyramid = input_pyramid()
    with pytest.MonkeyPatch.context() as patch, torch.inference_mode():
        patch.setattr(population, "BATCH_NUMBERS", batch_numbers)
        outputs = dict(run_population(net, pyramid, Sharing.of(genotypes), memory_mb))
        assert sorted(outputs) == list(range(count))
        for index, genotype in enumerate(genotypes):
            expected = net.aggregate(pyramid, genotype)
            for level, other in zip(net.extra_outputs(outputs[index]), expected, strict=True):
                torch.testing.assert_close(level, other, rtol=1e-9, atol=1e-9)


def test_without_edge_importances_the_input_is_not_modified() -> None:
    net = super_net(2, edge_importance=False)
    pyramid = input_pyramid()
    before = [level.clone() for level in pyramid]
    genotypes = draw(net.search_space, 20, 0)
    with torch.inference_mode():
        for index, output in run_population(net, pyramid, Sharing.of(genotypes)):
            expected = net.aggregate(pyramid, genotypes[index])
            torch.testing.assert_close(net.extra_outputs(output)[0], expected[0])
            output[0].zero_()  # A caller may do with it what it likes.
    assert all(torch.equal(level, other) for level, other in zip(pyramid, before, strict=True))


def test_every_different_path_call_runs_once(monkeypatch: pytest.MonkeyPatch) -> None:
    net = super_net(3)
    genotypes = draw(net.search_space, 30, 3)
    sharing = Sharing.of(genotypes)
    ran: Counter[tuple[str, str]] = Counter()
    original = net.run_edge

    def counting(pyramid: list[torch.Tensor], edge: str, path: str) -> object:
        ran[edge, path] += len(pyramid[0]) // 2
        return original(pyramid, edge, path)

    monkeypatch.setattr(net, "run_edge", counting)
    with torch.inference_mode():
        list(run_population(net, input_pyramid(), sharing))
    assert ran == Counter((call.edge, call.path) for call in sharing.calls)
    assert ran.total() < num_calls_apart(genotypes)


@pytest.mark.parametrize("values", [8, 16, 40])
def test_what_is_kept_stays_within_the_budget(values: int) -> None:
    net = super_net(3)
    sharing = Sharing.of(draw(net.search_space, 40, 5))
    pyramid = input_pyramid()
    value_bytes = sum(level.nbytes for level in pyramid)
    gc.collect()
    most = 0
    with torch.inference_mode():
        run = population._PopulationRun(net, pyramid, sharing, values * value_bytes / 1e6)
        assert len(run.groups) > 1
        for _ in run.outputs():
            storages = {
                level.untyped_storage().data_ptr(): level.untyped_storage().nbytes()
                for kept in (*run.nodes.values(), *run.calls.values())
                for level in kept
            }
            most = max(most, sum(storages.values()) - value_bytes)
    assert value_bytes < most <= values * value_bytes


def test_more_memory_means_fewer_path_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    net = super_net(3)
    genotypes = draw(net.search_space, 40, 5)
    sharing = Sharing.of(genotypes)
    pyramid = input_pyramid()
    megabytes = sum(level.nbytes for level in pyramid) / 1e6
    calls: list[int] = []
    original = net.run_edge

    def counting(stacked: list[torch.Tensor], edge: str, path: str) -> object:
        calls[-1] += len(stacked[0]) // 2
        return original(stacked, edge, path)

    monkeypatch.setattr(net, "run_edge", counting)
    with torch.inference_mode():
        for budget in (0, 12, 40, 400):
            calls.append(0)
            list(run_population(net, pyramid, sharing, budget * megabytes))
    assert calls == sorted(calls, reverse=True)
    assert calls[0] == num_calls_apart(genotypes)
    assert calls[-1] == len(sharing.calls)


def test_groups_hold_every_genotype_once() -> None:
    space = SearchSpace.of(4)
    sharing = Sharing.of(draw(space, 30, 1))
    for most in (0, 10, 50, 10_000):
        assert sorted(index for group in sharing.groups(most) for index in group) == list(range(30))
    assert len(sharing.groups(0)) == 30
    assert len(sharing.groups(10_000)) == 1


def test_values_come_after_what_they_are_made_of() -> None:
    genotypes = draw(SearchSpace.of(4), 20, 2)
    sharing = Sharing.of(genotypes)
    for position, value in enumerate(sharing.nodes[1:], start=1):
        assert all(sharing.calls[call].source < position for call in value.calls)
    for genotype, outputs in zip(genotypes, sharing.outputs, strict=True):
        assert tuple(sharing.nodes[value].node for value in outputs) == output_nodes(genotype)
        assert INPUT not in outputs


def test_pyramids_stack_and_split() -> None:
    first, second = input_pyramid(), [level + 1 for level in input_pyramid()]
    parts = split_pyramid(stack_pyramids([first, second]), 2)
    for part, expected in zip(parts, (first, second), strict=True):
        assert all(torch.equal(level, other) for level, other in zip(part, expected, strict=True))
