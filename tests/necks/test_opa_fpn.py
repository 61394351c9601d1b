from __future__ import annotations

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_neck import naive_neck, random_pyramid, randomise

from opanas_cli.errors import InvalidConfigError, InvalidGenotypeError
from opanas_cli.genotype import PAPER_PATHS, Genotype, SpaceKind
from opanas_cli.genotype.liveness import output_nodes, prune
from opanas_cli.necks import OPAFPN

CHANNELS = (2, 3, 4, 5)
HALVING = [(25, 13), (13, 7), (7, 4), (4, 2)]
UNEVEN = [(9, 12), (6, 5), (2, 4), (2, 1)]


def genotypes(max_nodes=4):
    """Genotypes with a live output, dense and chains."""
    dense = st.integers(1, max_nodes).flatmap(
        lambda count: st.lists(
            st.sampled_from(PAPER_PATHS), min_size=count * (count + 1) // 2, max_size=count * (count + 1) // 2
        )
    )
    chain = st.lists(st.sampled_from(PAPER_PATHS), min_size=1, max_size=max_nodes)
    built = dense.map(Genotype.of) | chain.map(lambda paths: Genotype.of(paths, SpaceKind.CHAIN))
    return built.filter(output_nodes)


@settings(deadline=None, max_examples=40)
@given(genotypes(), st.sampled_from([HALVING, UNEVEN]), st.booleans(), st.integers(0, 99))
def test_any_genotype_agrees_with_the_naive_neck(genotype, sizes, extra_convs, seed):
    neck = randomise(OPAFPN(CHANNELS, 3, 6, genotype, extra_convs=extra_convs, edge_importance=True), seed)
    edges = list(dict.fromkeys((source, target) for source, target, _ in neck.edges))
    importance = dict(zip(edges, neck.edge_importance, strict=True))
    features = random_pyramid(CHANNELS, sizes, seed)
    before = [feature.clone() for feature in features]
    expected = naive_neck(neck.state_dict(), genotype, features, 6, extra_convs, importance)
    for output, level in zip(neck(features), expected, strict=True):
        assert torch.allclose(output, level, rtol=1e-9, atol=1e-9)
    assert all(map(torch.equal, features, before))


@settings(deadline=None, max_examples=25)
@given(genotypes(), st.booleans())
def test_gradients_reach_every_parameter(genotype, edge_importance):
    # With larger weights the offsets behind four nodes lead out of the image, where nothing has a gradient.
    neck = randomise(OPAFPN(CHANNELS, 8, 5, genotype, edge_importance=edge_importance), std=0.1)
    sum((output**2).sum() for output in neck(random_pyramid(CHANNELS, HALVING))).backward()
    unused = [name for name, p in neck.named_parameters() if p.grad is None or not p.grad.any()]
    assert unused == []


@settings(deadline=None, max_examples=25)
@given(genotypes())
def test_dead_edges_are_not_built(genotype):
    assert OPAFPN(CHANNELS, 3, 4, genotype).edges == OPAFPN(CHANNELS, 3, 4, prune(genotype)).edges
    names = OPAFPN(CHANNELS, 3, 4, genotype).paths.keys()
    assert set(names) == {f"{e.source}_{e.target}" for e, path in prune(genotype).items() if path != "none"}


def test_a_dead_node_adds_nothing():
    """Node 1 has no live input, so the top-down path out of it must not add its biases to node 2."""
    dead, pruned = Genotype.of(["none", "bottom_up", "top_down"]), Genotype.of(["none", "bottom_up", "none"])
    neck, expected = randomise(OPAFPN(CHANNELS, 3, 4, dead)), randomise(OPAFPN(CHANNELS, 3, 4, pruned))
    features = random_pyramid(CHANNELS, HALVING)
    assert all(map(torch.equal, neck(features), expected(features)))


def test_the_published_neck_has_the_released_models_parameters():
    """5,033,874, less the offset convolutions of level 0 that the released model has and never runs, in all 7 top-down
    and bottom-up paths: 18 · 112 · 9 + 18 parameters each."""
    neck = OPAFPN((256, 512, 1024, 2048), 112, 5, "opa-fpn")
    paths = [path for _, _, path in neck.edges if path in ("top_down", "bottom_up")]
    assert len(paths) == 7
    assert sum(parameter.numel() for parameter in neck.parameters()) == 5_033_874 - 7 * (18 * 112 * 9 + 18) == 4_906_740


def test_the_published_neck_agrees_with_the_naive_one_as_in_retinanet():
    neck = randomise(OPAFPN(CHANNELS, 4, 5, "opa-fpn", start_level=1, extra_convs=True), std=0.1)
    features = random_pyramid(CHANNELS, [(16, 24), (8, 12), (4, 6), (2, 3)])
    expected = naive_neck(neck.state_dict(), neck.genotype, features[1:], 5, extra_convs=True)
    for output, level in zip(neck(features), expected, strict=True):
        assert torch.allclose(output, level, rtol=1e-9, atol=1e-9)


def test_a_genotype_may_be_given_in_any_form(tmp_path):
    named = OPAFPN(CHANNELS, 3, 4, "opa-fpn").genotype
    document = {
        "format": "opanas-genotype",
        "version": 1,
        "space": "dense",
        "num_nodes": 5,
        "edges": [{"source": e.source, "target": e.target, "path": path.value} for e, path in named.items()],
    }
    file = tmp_path / "genotype.json"
    file.write_text(json.dumps(document), encoding="utf-8")
    for form in (named, str(file), document, [path.value for path in named.paths]):
        assert OPAFPN(CHANNELS, 3, 4, form).genotype == named


def test_bad_arguments_are_config_errors():
    with pytest.raises(InvalidConfigError, match="neck: num_outs must be at least 4"):
        OPAFPN(CHANNELS, 3, 3, "opa-fpn")
    with pytest.raises(InvalidConfigError, match="norm_cfg"):
        OPAFPN(CHANNELS, 3, 4, "opa-fpn", norm_cfg={"type": "none"})
    with pytest.raises(InvalidGenotypeError, match="dead"):
        OPAFPN(CHANNELS, 3, 4, ["none"])


def test_norm_and_activation_train_in_a_batch():
    neck = OPAFPN(CHANNELS, 4, 5, "opa-fpn", norm_cfg={"type": "BN"}, act_cfg={"type": "ReLU"})
    features = [level.float() for level in random_pyramid(CHANNELS, HALVING)]
    outputs = neck(features)
    sum(output.sum() for output in outputs).backward()
    assert all(parameter.grad is not None for parameter in neck.parameters())


def test_bfloat16_autocast():
    neck = OPAFPN(CHANNELS, 4, 5, "opa-fpn", edge_importance=True)
    features = [level.float() for level in random_pyramid(CHANNELS, HALVING)]
    with torch.autocast("cpu", torch.bfloat16):
        outputs = neck(features)
    for output, expected in zip(outputs, neck(features), strict=True):
        assert output.dtype == torch.bfloat16
        assert torch.allclose(output.float(), expected, rtol=0.1, atol=0.1 * expected.abs().max().item())
