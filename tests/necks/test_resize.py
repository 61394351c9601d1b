from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_neck import loop_max_pool, loop_resize_nearest, random_pyramid

from opanas_cli.necks.resize import downsample, size_of, upsample

SIZES = st.tuples(st.integers(1, 9), st.integers(1, 9))


@settings(deadline=None, max_examples=60)
@given(SIZES, SIZES)
def test_resizing_agrees_with_loops_for_any_two_sizes(source, target):
    (level,) = random_pyramid(2, [source])
    before = level.clone()
    assert torch.equal(upsample(level, target), loop_resize_nearest(level, target))
    assert torch.equal(downsample(level, target), loop_resize_nearest(loop_max_pool(level), target))
    assert torch.equal(level, before)


def test_factor_two_is_exact_both_ways():
    (level,) = random_pyramid(3, [(4, 6)])
    up = upsample(level, (8, 12))
    assert torch.equal(up, level.repeat_interleave(2, 2).repeat_interleave(2, 3))
    assert torch.equal(downsample(up, size_of(level)), level)


def test_upsampling_to_the_same_size_is_the_identity():
    (level,) = random_pyramid(1, [(3, 5)])
    assert upsample(level, (3, 5)) is level


def test_a_side_of_one_pixel_stays():
    level = torch.tensor([[[[1.0, 5.0, 2.0]]]])
    assert downsample(level, (1, 2)).tolist() == [[[[5.0, 5.0]]]]
    assert downsample(torch.ones(1, 1, 1, 1), (1, 1)).shape == (1, 1, 1, 1)
