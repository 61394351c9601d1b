"""Under CUDA's autocast, all levels that a neck gives have one dtype, as heads expect; played through without a GPU."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from opanas_cli.formats.text import loads
from opanas_cli.necks import OPAFPN

SIZES = [(16, 12), (8, 6), (4, 3), (2, 2)]


@pytest.fixture
def cuda_autocast() -> Iterator[None]:
    """As torch.autocast("cuda") does, which refuses where there is no CUDA."""
    torch.set_autocast_enabled("cuda", True)
    torch.set_autocast_dtype("cuda", torch.bfloat16)
    torch.set_autocast_cache_enabled(False)
    yield
    torch.set_autocast_enabled("cuda", False)
    torch.set_autocast_cache_enabled(True)


@pytest.mark.usefixtures("cuda_autocast")
@pytest.mark.parametrize("norm_cfg", [None, {"type": "GN", "num_groups": 1}], ids=["no norm", "group norm"])
@pytest.mark.parametrize("line", ["fs|td,bu", "se|td,bu", "skip|none,fs", "td|none,bu"])
def test_levels_have_one_dtype(line: str, norm_cfg: dict[str, object] | None) -> None:
    neck = OPAFPN([4] * 4, 8, 5, loads(line, line).genotype, norm_cfg=norm_cfg)
    shapes = {name: value.shape for name, value in neck.state_dict().items()}
    with FakeTensorMode():
        weights = {name: torch.empty(shape, device="cuda") for name, shape in shapes.items()}
        features = [torch.empty(1, 4, *size, device="cuda") for size in SIZES]
        levels = torch.func.functional_call(neck, weights, (features,))
    assert {level.dtype for level in levels} == {torch.float32 if norm_cfg else torch.bfloat16}
