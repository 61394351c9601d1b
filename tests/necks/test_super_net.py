from __future__ import annotations

from itertools import chain

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_neck import random_pyramid, randomise

from opanas_cli.errors import InvalidConfigError, InvalidGenotypeError
from opanas_cli.genotype import PAPER_PATHS, Genotype, PathType, SearchSpace
from opanas_cli.genotype.liveness import live_edges, output_nodes, prune
from opanas_cli.necks import OPAFPN, OPASuperNet, inherited_state_dict

CHANNELS = (2, 3, 4, 5)
SIZES = [(25, 13), (13, 7), (7, 4), (4, 2)]
NUM_EDGES = {"dense": 6, "chain": 3}


def super_net(space="dense", num_nodes=3, num_outs=5, **options):
    return randomise(OPASuperNet(CHANNELS, 3, num_outs, num_nodes, space, **options))


@st.composite
def spaces_and_genotypes(draw):
    space = draw(st.sampled_from(sorted(NUM_EDGES)))
    count = NUM_EDGES[space]
    paths = st.lists(st.sampled_from(PAPER_PATHS), min_size=count, max_size=count)
    return space, draw(paths.map(lambda names: Genotype.of(names, space)).filter(output_nodes))


OPTIONS = st.fixed_dictionaries(
    {
        "extra_convs": st.booleans(),
        "start_level": st.integers(0, 1),
        "share_fusing": st.booleans(),
        "deformable": st.booleans(),
        "norm_cfg": st.sampled_from([None, {"type": "GN", "num_groups": 1}]),
    }
)


@settings(deadline=None, max_examples=30)
@given(spaces_and_genotypes(), OPTIONS)
def test_a_sub_net_equals_the_stand_alone_neck_with_inherited_weights(chosen, options):
    space, genotype = chosen
    parent = super_net(space, **options).eval()
    child = OPAFPN(CHANNELS, 3, 5, genotype, edge_importance=True, **options).double().eval()
    child.load_state_dict(inherited_state_dict(parent, genotype))
    features = [level.requires_grad_() for level in random_pyramid(CHANNELS, SIZES)]
    ours, theirs = parent(features, genotype), child(features)
    for left, right in zip(ours, theirs, strict=True):
        assert torch.allclose(left, right, rtol=1e-12, atol=1e-12)

    used = features[options["start_level"] :]
    for left, right in zip(gradients(ours, used), gradients(theirs, used), strict=True):
        assert torch.allclose(left, right, rtol=1e-9, atol=1e-9)
    sum((output**2).sum() for output in ours).backward()
    sum((output**2).sum() for output in theirs).backward()
    parameters = dict(parent.named_parameters())
    for name, parameter in child.named_parameters():
        expected = parameters.pop(name).grad
        if name == "edge_importance":
            expected = expected[[list(genotype.edges).index(edge) for edge, _ in live_edges(genotype)]]
        assert torch.allclose(parameter.grad, expected, rtol=1e-9, atol=1e-9)
    assert all(parameter.grad is None for parameter in parameters.values()), "a path that did not run has a gradient"


def gradients(outputs, inputs):
    return torch.autograd.grad(sum((output**2).sum() for output in outputs), inputs, retain_graph=True)


@settings(deadline=None, max_examples=20)
@given(spaces_and_genotypes())
def test_only_live_edges_run(chosen):
    space, genotype = chosen
    parent = super_net(space, deformable=False)
    ran = []
    for edge, choices in parent.paths.items():
        for path, module in choices.items():
            module.register_forward_hook(lambda *_, name=(edge, path): ran.append(name))
    parent(random_pyramid(CHANNELS, SIZES), genotype)
    assert ran == [(f"{e.source}_{e.target}", path.value) for e, path in prune(genotype).items() if path != "none"]


def test_all_paths_are_on_all_edges():
    parent = super_net(num_nodes=5)
    assert len(parent.paths) == 15
    assert parent.edge_importance.shape == (15,)
    for choices in parent.paths.values():
        assert list(choices) == [path for path in PAPER_PATHS if path is not PathType.NONE]
        assert [path for path in choices if list(choices[path].parameters())] == list(SearchSpace().parameterised_paths)


def test_a_smaller_space_builds_only_its_paths():
    parent = super_net(paths=["top_down", "skip_connect", "none"])
    assert set(chain.from_iterable(parent.paths.values())) == {"top_down", "skip_connect"}
    with pytest.raises(InvalidGenotypeError, match="with paths top_down, skip_connect, none, but got"):
        parent.check(Genotype.of(["bottom_up"] * 6))


def test_forward_is_aggregate_of_project():
    parent, genotype = super_net(), Genotype.of(["fusing_splitting"] * 6)
    features = random_pyramid(CHANNELS, SIZES)
    pyramid = parent.project(features)
    for left, right in zip(parent(features, genotype), parent.aggregate(pyramid, genotype), strict=True):
        assert torch.equal(left, right)


def test_running_sets_the_genotype_and_takes_it_back():
    parent, features = super_net(), random_pyramid(CHANNELS, SIZES)
    first, second = Genotype.of(["top_down"] * 6), Genotype.of(["bottom_up"] * 6)
    with parent.running(first):
        with pytest.raises(RuntimeError, match="stop"), parent.running(second):
            assert torch.equal(parent(features)[0], parent(features, second)[0])
            raise RuntimeError("stop")
        assert torch.equal(parent(features)[0], parent(features, first)[0])
    with pytest.raises(InvalidGenotypeError, match="one genotype at a time"):
        parent(features)


def test_genotypes_of_other_spaces_or_with_a_dead_output_are_refused():
    parent, features = super_net(), random_pyramid(CHANNELS, SIZES)
    for genotype, message in [
        (Genotype.of(["top_down"] * 3), "got a dense one of 2 nodes"),
        (Genotype.of(["top_down"] * 3, "chain"), "got a chain one of 3 nodes"),
        (Genotype.of(["none"] * 6), "the output is dead"),
    ]:
        with pytest.raises(InvalidGenotypeError, match=message):
            parent(features, genotype)
        with pytest.raises(InvalidGenotypeError, match=message), parent.running(genotype):
            pass
        with pytest.raises(InvalidGenotypeError, match=message):
            inherited_state_dict(parent, genotype)


@pytest.mark.parametrize("kind", ["BN", "SyncBN"])
def test_batch_norm_whose_statistics_mix_all_sub_nets_is_refused(kind):
    with pytest.raises(InvalidConfigError, match=r"batch norm in a super-net .* use group norm: --cfg-options"):
        super_net(norm_cfg={"type": kind})
    OPAFPN(CHANNELS, 3, 5, Genotype.of(["top_down"]), norm_cfg={"type": kind})


def test_bad_arguments_are_named():
    with pytest.raises(InvalidGenotypeError, match="'tree' is not a space; choose 'dense' or 'chain'"):
        super_net("tree")
    with pytest.raises(InvalidConfigError, match="neck: num_outs"):
        super_net(num_outs=2)
    with pytest.raises(InvalidGenotypeError, match="did you mean 'top_down'"):
        super_net(paths=["top_dwn"])
    with pytest.raises(InvalidGenotypeError, match="expected 1 to 64 intermediate nodes, but got"):
        super_net(num_nodes=0)


def test_the_spaces_defaults_are_the_necks():
    assert OPASuperNet(CHANNELS, 3, 4).search_space == SearchSpace.of()


def test_importances_start_at_one_and_their_l1_is_a_loss():
    parent = OPASuperNet(CHANNELS, 3, 4, 5)
    assert parent.edge_importance.tolist() == [1] * 15
    with torch.no_grad():
        parent.edge_importance[0] = -2
    loss = parent.edge_l1()
    assert loss.item() == 16
    loss.backward()
    assert parent.edge_importance.grad.tolist() == [-1] + [1] * 14


def test_importances_can_be_left_out():
    parent, genotype = super_net(edge_importance=False), Genotype.of(["top_down"] * 6)
    assert parent.edge_l1() == 0
    child = OPAFPN(CHANNELS, 3, 5, genotype).double()
    child.load_state_dict(inherited_state_dict(parent, genotype))
    features = random_pyramid(CHANNELS, SIZES)
    assert all(map(torch.equal, parent(features, genotype), child(features)))


def test_inheriting_copies_nothing_else():
    parent, genotype = super_net(), Genotype.of(["top_down", "none", "skip_connect", "none", "none", "bottom_up"])
    state = inherited_state_dict(parent, genotype)
    assert {name.split(".")[1] + "." + name.split(".")[2] for name in state if name.startswith("paths.")} == {
        "0_1.top_down",
        "2_3.bottom_up",
    }
    assert state["edge_importance"].tolist() == parent.edge_importance[[0, 2, 5]].tolist()
