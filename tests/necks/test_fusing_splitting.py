from __future__ import annotations

import torch
from naive_neck import random_pyramid, randomise
from torch.nn import functional as F

from opanas_cli.necks.convolution import PathOptions
from opanas_cli.necks.fusing_splitting import FusingSplitting


def test_four_levels_are_equations_4_to_6():
    path = randomise(FusingSplitting(3, 4, PathOptions(deformable=False, share_fusing=False)))
    p2, p3, p4, p5 = random_pyramid(3, [(16, 8), (8, 4), (4, 2), (2, 1)])

    def u(level):
        return level.repeat_interleave(2, 2).repeat_interleave(2, 3)

    def d(level):
        return F.max_pool2d(level, 2) if min(level.shape[2:]) > 1 else F.max_pool2d(level, (2, 1))

    alpha_s, alpha_l = p4 + u(p5), d(p2) + p3
    fine, coarse = path.convs
    beta_s = F.conv2d(torch.cat([d(alpha_l), alpha_s], 1), coarse.weight, coarse.bias, padding=1)
    beta_l = F.conv2d(torch.cat([alpha_l, u(alpha_s)], 1), fine.weight, fine.bias, padding=1)
    for output, expected in zip(path([p2, p3, p4, p5]), [u(beta_l), beta_l, beta_s, d(beta_s)], strict=True):
        assert torch.allclose(output, expected, atol=1e-12)


def test_sharing_makes_both_convolutions_one():
    shared, separate = FusingSplitting(3, 4, PathOptions()), FusingSplitting(3, 4, PathOptions(share_fusing=False))
    count = [sum(p.numel() for p in path.parameters()) for path in (shared, separate)]
    assert 2 * count[0] == count[1]
    separate.load_state_dict(
        {f"convs.{i}.{name}": value for i in (0, 1) for name, value in shared.convs[0].state_dict().items()}
    )
    pyramid = [level.float() for level in random_pyramid(3, [(8, 8), (4, 4), (2, 2), (1, 1)])]
    assert all(map(torch.equal, shared(pyramid), separate(pyramid)))
