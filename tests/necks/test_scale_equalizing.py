from __future__ import annotations

import torch
from naive_neck import random_pyramid, randomise
from torch.nn import functional as F

from opanas_cli.necks.convolution import PathOptions
from opanas_cli.necks.scale_equalizing import ScaleEqualizing


def test_offsets_do_not_touch_the_finest_level():
    path = randomise(ScaleEqualizing(3, 3, PathOptions()))
    pyramid = random_pyramid(3, [(8, 8), (4, 4), (2, 2)])
    before = path(pyramid)
    with torch.no_grad():
        for conv in (path.from_coarser, path.from_same, path.from_finer):
            conv.conv_offset.bias.add_(1.5)
    after = path(pyramid)
    assert torch.equal(before[0], after[0])
    assert not torch.equal(before[1], after[1])


def test_starts_small_without_biases_and_ends_in_a_relu():
    torch.manual_seed(0)
    path = ScaleEqualizing(32, 4, PathOptions())
    assert abs(path.from_same.weight.std().item() - 0.01) < 1e-3
    assert not path.from_finer.bias.any()
    assert all(level.min() >= 0 for level in path([level.float() for level in random_pyramid(32, [(4, 4)] * 4)]))


def test_two_levels_need_no_offsets_for_the_coarser_one():
    path = randomise(ScaleEqualizing(3, 2, PathOptions()))
    p0, p1 = random_pyramid(3, [(6, 6), (3, 3)])
    assert "from_coarser.conv_offset.weight" not in path.state_dict()
    same = F.conv2d(p0, path.from_same.weight, path.from_same.bias, padding=1)
    coarser = F.conv2d(p1, path.from_coarser.weight, path.from_coarser.bias, padding=1)
    expected = F.relu(same + coarser.repeat_interleave(2, 2).repeat_interleave(2, 3))
    assert torch.allclose(path([p0, p1])[0], expected)
