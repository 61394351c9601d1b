from __future__ import annotations

import torch
from naive_neck import naive_input_pyramid, random_pyramid, randomise

from opanas_cli.necks.convolution import PathOptions
from opanas_cli.necks.pyramid import InputPyramid, OutputPyramid

SIZES = [(9, 7), (5, 4), (3, 2)]


def test_node_0_agrees_with_the_naive_one():
    for extra_level in (False, True):
        pyramid = randomise(InputPyramid((2, 3, 4), 5, PathOptions(), extra_level))
        features = random_pyramid((2, 3, 4), SIZES)
        before = [level.clone() for level in features]
        state = {f"input_pyramid.{name}": value for name, value in pyramid.state_dict().items()}
        outputs = pyramid(features)
        assert len(outputs) == 3 + extra_level
        for output, expected in zip(outputs, naive_input_pyramid(state, features, extra_level), strict=True):
            assert torch.allclose(output, expected, atol=1e-12)
        assert all(map(torch.equal, features, before))


def test_the_global_context_is_added_to_the_coarsest_level_alone():
    pyramid = randomise(InputPyramid((3, 3, 3), 4, PathOptions()))
    features = random_pyramid(3, SIZES)
    before = pyramid(features)
    with torch.no_grad():
        pyramid.context.bias.add_(1)
    after = pyramid(features)
    assert all(map(torch.equal, before[:-1], after[:-1]))
    assert torch.allclose(after[-1], before[-1] + 1)


def test_the_context_of_one_image_takes_no_norm():
    pyramid = InputPyramid((3, 3), 4, PathOptions(norm_cfg={"type": "BN"}, act_cfg={"type": "ReLU"}))
    assert sum(isinstance(module, torch.nn.BatchNorm2d) for module in pyramid.modules()) == 2
    pyramid([level[:1].float() for level in random_pyramid(3, SIZES[:2])])


def test_extra_outputs_keep_every_second_pixel():
    levels = random_pyramid(2, [(5, 4)])
    outputs = OutputPyramid(1, 2, 2, PathOptions())(levels)
    assert torch.equal(outputs[1], levels[0][:, :, ::2, ::2])
    assert torch.equal(outputs[2], levels[0][:, :, ::4, ::4])
    assert len(levels) == 1


def test_extra_outputs_by_convolutions_each_have_their_own():
    extra = OutputPyramid(1, 2, 2, PathOptions(), by_convs=True)
    assert [tuple(level.shape[2:]) for level in extra([torch.ones(1, 2, 5, 4)])] == [(5, 4), (3, 2), (2, 1)]
    assert sum(p.numel() for p in extra.parameters()) == 2 * (2 * 2 * 9 + 2)


def test_output_levels_are_normalised_each_by_its_own_and_before_the_extra_ones():
    levels = random_pyramid(4, SIZES[:2])
    output = OutputPyramid(2, 1, 4, PathOptions(), output_norm_cfg={"type": "GN", "num_groups": 2}).double()
    output.norms[0].weight.data.fill_(3)
    finest, coarsest, extra = output([100 * level + 5 for level in levels])
    grouped = finest.unflatten(1, (2, 2)).flatten(2)
    torch.testing.assert_close(grouped.mean(2), torch.zeros(2, 2, dtype=torch.float64))
    torch.testing.assert_close(grouped.std(2, correction=0), torch.full((2, 2), 3, dtype=torch.float64))
    torch.testing.assert_close(coarsest, torch.nn.functional.group_norm(levels[1], 2), rtol=0, atol=1e-4)
    assert torch.equal(extra, coarsest[:, :, ::2, ::2])
