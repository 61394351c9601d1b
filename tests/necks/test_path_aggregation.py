from __future__ import annotations

import ast
from pathlib import Path

import pytest
import torch
from naive_neck import random_pyramid

import opanas_cli.necks.path_aggregation
from opanas_cli.genotype.paths import BUILT_IN_PATHS
from opanas_cli.necks.path_aggregation import PathAggregationNeck

CHANNELS = (2, 3, 4)
SIZES = [(9, 7), (5, 4), (3, 2)]


def neck(edges=((0, 1, "top_down"),), output_nodes=(1,), **options):
    options = {"out_channels": 4, "num_outs": 3, **options}
    return PathAggregationNeck(CHANNELS, edges=edges, output_nodes=output_nodes, **options)


def test_a_skip_connection_alone_is_node_0():
    skip = neck([(0, 1, "skip_connect")], num_outs=4).double()
    features = random_pyramid(CHANNELS, SIZES)
    outputs = skip(features)
    assert all(map(torch.equal, outputs, skip.project(features)))
    assert torch.equal(outputs[3], outputs[2][:, :, ::2, ::2])


def test_a_node_is_the_sum_of_its_edges_and_the_output_of_its_nodes():
    both = neck([(0, 1, "skip_connect"), (0, 2, "skip_connect"), (1, 2, "skip_connect")], (1, 2)).double()
    features = random_pyramid(CHANNELS, SIZES)
    for output, level in zip(both(features), both.project(features), strict=True):
        assert torch.allclose(output, 3 * level)


def test_edge_importances_weight_every_edge_skip_connections_too():
    weighted = neck(
        [(0, 1, "skip_connect"), (0, 2, "skip_connect"), (1, 2, "skip_connect")], (1, 2), edge_importance=True
    ).double()
    assert weighted.edge_importance.tolist() == [1, 1, 1]
    with torch.no_grad():
        weighted.edge_importance.copy_(torch.tensor([2.0, 3.0, 5.0]))
    features = random_pyramid(CHANNELS, SIZES)
    for output, level in zip(weighted(features), weighted.project(features), strict=True):
        assert torch.allclose(output, (2 + 3 + 5 * 2) * level)


@pytest.mark.parametrize(
    ("start_level", "extra_convs", "num_outs", "sizes"),
    [
        (0, False, 3, SIZES),
        (0, False, 5, [*SIZES, (2, 1), (1, 1)]),
        (1, False, 2, SIZES[1:]),
        (0, True, 3, SIZES),
        (1, True, 4, [*SIZES[1:], (2, 1), (1, 1)]),
        (2, True, 3, [SIZES[2], (2, 1), (1, 1)]),
    ],
)
def test_output_levels(start_level, extra_convs, num_outs, sizes):
    built = neck(start_level=start_level, extra_convs=extra_convs, num_outs=num_outs).double()
    features = random_pyramid(CHANNELS, SIZES)
    outputs = built(features)
    assert [tuple(output.shape) for output in outputs] == [(2, 4, *size) for size in sizes]
    num_maps = len(CHANNELS) - start_level
    assert len(built.project(features)) == num_maps + (extra_convs and num_outs > num_maps)
    sum(output.sum() for output in outputs).backward()
    assert all(parameter.grad is not None for parameter in built.parameters())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"out_channels": 0}, r"at least 1, but got \[2, 3, 4\] and 0"),
        ({"num_outs": 2}, "num_outs must be at least 3.*but got 2"),
        ({"start_level": 3}, "start_level must be one of 0 to 2, but got 3"),
        ({"start_level": -1}, "but got -1"),
        ({"start_level": 2, "num_outs": 2}, "at least two pyramid levels"),
        ({"edges": [(0, 1, "none")]}, "but got 'none'"),
        ({"edges": [(1, 2, "top_down")]}, "1->2 .* does not start at a node"),
        ({"edges": [(1, 1, "top_down")]}, "1->1"),
        ({"edges": [(0, 2, "top_down"), (2, 1, "top_down")]}, "2->1"),
        ({"output_nodes": []}, r"but got nodes \[\]"),
        ({"output_nodes": [2]}, r"but got nodes \[2\]"),
        ({"output_nodes": [0]}, r"but got nodes \[0\]"),
        ({"norm_cfg": {"type": "XN"}}, "'XN'"),
    ],
)
def test_contradictions_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        neck(**options)


def test_the_number_of_feature_maps_is_checked():
    with pytest.raises(ValueError, match="takes 3 feature maps, but got 2"):
        neck()(random_pyramid(CHANNELS[:2], SIZES[:2]))


def test_the_core_stands_alone():
    """It, the paths and all they import need torch only and clash in no name: they can be written into one file."""
    core = Path(opanas_cli.necks.path_aggregation.__file__)
    builders = [path.builder for path in BUILT_IN_PATHS if path.builder]
    waiting = [core, *(core.with_name(f"{name.partition(':')[0].rpartition('.')[2]}.py") for name in builders)]
    seen, names = set(), []
    while waiting:
        file = waiting.pop()
        if file in seen:
            continue
        seen.add(file)
        for statement in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(statement, ast.ImportFrom) and statement.module.startswith("opanas_cli"):
                if statement.module == "opanas_cli.necks.information_paths":
                    continue  # A table of the file's own paths takes its place.
                assert statement.module.startswith("opanas_cli.necks."), f"{file.name} imports {statement.module}"
                assert all(alias.asname is None for alias in statement.names)
                waiting.append(file.with_name(f"{statement.module.rpartition('.')[2]}.py"))
            elif isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
                names.append(statement.name)
            elif isinstance(statement, ast.Assign):
                names.extend(target.id for target in statement.targets)
    assert len(seen) > len(builders)
    assert len(names) == len(set(names))
