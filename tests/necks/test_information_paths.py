from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_neck import naive_path, random_pyramid, randomise

from opanas_cli.genotype import PAPER_PATHS, PathType, SearchSpace
from opanas_cli.necks.convolution import PathOptions
from opanas_cli.necks.information_paths import build_path

PARAMETERISED = [path.value for path in SearchSpace().parameterised_paths]
HALVING = [(25, 13), (13, 7), (7, 4), (4, 2), (2, 1)]
ANY_SIZES = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=2, max_size=5)


@pytest.mark.parametrize("path", PARAMETERISED)
@settings(deadline=None, max_examples=40)
@given(sizes=ANY_SIZES | st.sampled_from([HALVING[:count] for count in (2, 3, 4, 5)]), options=st.data())
def test_every_path_agrees_with_its_equation_for_any_sizes(path, sizes, options):
    deformable, share_fusing = options.draw(st.booleans()), options.draw(st.booleans())
    module = randomise(build_path(path, 3, len(sizes), PathOptions(deformable, share_fusing)))
    pyramid = random_pyramid(3, sizes)
    before = [level.clone() for level in pyramid]
    outputs = module(pyramid)
    for output, expected, level in zip(
        outputs, naive_path(path, module.state_dict(), "", pyramid), pyramid, strict=True
    ):
        assert output.shape == level.shape
        assert torch.allclose(output, expected, atol=1e-9)
    assert all(map(torch.equal, pyramid, before))


@pytest.mark.parametrize("path", PARAMETERISED)
@pytest.mark.parametrize("num_levels", [2, 3, 4, 5])
@pytest.mark.parametrize("deformable", [True, False])
def test_gradients_reach_every_parameter(path, num_levels, deformable):
    module = randomise(build_path(path, 3, num_levels, PathOptions(deformable, share_fusing=False)))
    outputs = module(random_pyramid(3, HALVING[:num_levels]))
    sum((output**2).sum() for output in outputs).backward()
    unused = [name for name, p in module.named_parameters() if p.grad is None or not p.grad.any()]
    assert unused == []


@pytest.mark.parametrize("path", PARAMETERISED)
def test_plain_paths_are_the_deformable_ones_without_offsets(path):
    deformable, plain = (build_path(path, 3, 4, PathOptions(deformable=choice)).double() for choice in (True, False))
    state = {name: value for name, value in deformable.state_dict().items() if "offset" not in name}
    plain.load_state_dict(state)
    pyramid = random_pyramid(3, HALVING[:4])
    for left, right in zip(deformable(pyramid), plain(pyramid), strict=True):
        assert torch.allclose(left, right, atol=1e-12)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("top_down", 4 * (9 * 16 + 4) + 3 * (18 * 36 + 18)),
        ("bottom_up", 4 * (9 * 16 + 4) + 3 * (18 * 36 + 18)),
        ("scale_equalizing", 3 * (9 * 16 + 4 + 18 * 36 + 18)),
        ("fusing_splitting", 9 * 32 + 4 + 18 * 72 + 18),
        ("skip_connect", 0),
    ],
)
def test_parameter_counts_at_four_channels(path, expected):
    assert sum(p.numel() for p in build_path(path, 4, 4, PathOptions()).parameters()) == expected


@pytest.mark.parametrize("path", PARAMETERISED)
@pytest.mark.parametrize("norm_cfg", [{"type": "BN"}, {"type": "GN", "num_groups": 2}])
def test_norm_and_activation_follow_every_convolution(path, norm_cfg):
    module = build_path(path, 4, 4, PathOptions(norm_cfg=norm_cfg, act_cfg={"type": "LeakyReLU"}))
    names = [name for name, _ in module.named_modules()]
    norms = [m for m in module.modules() if isinstance(m, (torch.nn.BatchNorm2d, torch.nn.GroupNorm))]
    assert len(norms) == (1 if path == "fusing_splitting" else 4)
    assert any(name.endswith("act") for name in names)
    assert not any(
        name.endswith("bias") and "offset" not in name and "norm" not in name for name in module.state_dict()
    )
    sum((output**2).sum() for output in module([level.float() for level in random_pyramid(4, HALVING[:4])])).backward()
    assert all(parameter.grad is not None for parameter in module.parameters())


def test_the_names_are_those_of_the_genotype():
    for path in PAPER_PATHS:
        if path is PathType.NONE:
            with pytest.raises(ValueError, match="but got 'none'"):
                build_path(path, 4, 4, PathOptions())
        else:
            build_path(path.value, 4, 4, PathOptions())


def test_skip_connect_hands_on_the_same_tensors():
    pyramid = random_pyramid(3, HALVING)
    assert all(a is b for a, b in zip(build_path("skip_connect", 3, 5, PathOptions())(pyramid), pyramid, strict=True))
