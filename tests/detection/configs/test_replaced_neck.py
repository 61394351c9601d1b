"""A super-net in the place of other necks: what is taken over, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from mmdet.models.detectors import RetinaNet
from mmdet.registry import MODELS
from mmengine.config import Config, ConfigDict
from mmengine.model import BaseModule
from tiny_detectors import tiny_detector
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from opanas_cli.detection.configs.building import build_detector
from opanas_cli.detection.configs.files import load_config
from opanas_cli.detection.configs.necks import with_sub_net
from opanas_cli.detection.configs.replaced_neck import with_super_net
from opanas_cli.errors import InvalidConfigError
from opanas_cli.genotype import Genotype

TOP_DOWN = Genotype.of(["top_down"])


@MODELS.register_module(force=True)
class AnyLevels(BaseModule):
    """Levels of some strides and widths, whatever the feature maps; the finest of these has a stride of 4."""

    def __init__(self, strides: Sequence[int], widths: Sequence[int]) -> None:
        super().__init__()
        self.levels = list(zip(strides, widths, strict=True))

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor, ...]:
        image = 4 * features[0].shape[-1]
        return tuple(features[0].new_zeros(1, width, image // side, image // side) for side, width in self.levels)


@MODELS.register_module(force=True)
class Squaring(RetinaNet):
    def extract_feat(self, batch_inputs: Tensor) -> tuple[Tensor, ...]:
        return tuple(level**2 for level in super().extract_feat(batch_inputs))


def with_neck(**neck: Any) -> Config:
    config = tiny_detector("atss")
    config.model.neck = ConfigDict(neck)
    return config


def with_levels(strides: Sequence[int], widths: Sequence[int] | None = None) -> Config:
    return with_neck(type="AnyLevels", strides=strides, widths=widths or [32] * len(strides))


@pytest.mark.parametrize(
    ("strides", "start", "extra"),
    [([4, 8, 16, 32], 0, False), ([8, 16, 32], 1, False), ([8, 16, 32, 64, 128], 1, False)],
)
def test_levels_are_found_by_their_strides(strides: list[int], start: int, extra: bool) -> None:
    config = with_levels(strides)
    neck = with_super_net(config).model.neck
    assert (neck.in_channels, neck.out_channels) == ([8, 16, 32, 64], 32)
    assert (neck.start_level, neck.num_outs, neck.extra_convs) == (start, len(strides), extra)
    assert config.model.neck.type == "AnyLevels"


@pytest.mark.parametrize(
    ("strides", "widths", "reason"),
    [
        ([16], None, "it gives one level"),
        ([8, 16, 32], [16, 32, 16], "its levels have the widths 16, 32, 16"),
        ([32, 16, 8], None, "strides 32, 16, 8, and each must have twice that of the level before"),
        ([2, 4, 8, 16, 32], None, "finest level has a stride of 2, and the backbone's have 4, 8, 16, 32"),
        ([32, 64], None, "lower start_level"),
        ([4, 8, 16], None, "strides 4, 8, 16, and the backbone's feature maps 4, 8, 16, 32"),
    ],
)
def test_other_levels_are_refused(strides: list[int], widths: list[int] | None, reason: str) -> None:
    with pytest.raises(InvalidConfigError, match=f"atss_r50_fpn_1x_coco.py: .*{reason}"):
        with_super_net(with_levels(strides, widths))


def test_other_norms_and_activations_are_refused() -> None:
    settings = dict(type="ChannelMapper", in_channels=[8, 16, 32, 64], out_channels=32, num_outs=4)
    for name, value, what in (("norm_cfg", "IN", "norm is IN"), ("act_cfg", "HSwish", "activation is HSwish")):
        with pytest.raises(InvalidConfigError, match=f"its {what}, and a super-net's is one of "):
            with_super_net(with_neck(**settings, **{name: dict(type=value)}))


def test_detectors_without_neck_or_backbone_and_those_that_do_more_are_refused() -> None:
    config = tiny_detector("atss")
    del config.model.neck
    with pytest.raises(InvalidConfigError, match=r"model\.neck is missing"):
        with_super_net(config)
    config = load_config("mmdet::retinanet_r18_fpn_1x_coco")
    config.model.type = "Squaring"
    with pytest.raises(InvalidConfigError, match="a Squaring does more than run its backbone and its neck"):
        with_super_net(config)
    del config.model.backbone
    for call in (with_super_net, build_detector):
        with pytest.raises(InvalidConfigError, match=r"model\.backbone is missing; give the config of a detector"):
            call(config)


def test_necks_in_a_row_are_replaced_together() -> None:
    config = tiny_detector("atss")
    refining = dict(type="BFP", in_channels=32, num_levels=5, refine_level=1)
    config.model.neck = [config.model.neck, ConfigDict(refining)]
    assert with_super_net(config).model.neck.num_outs == 5


def test_batch_norm_becomes_group_norm_for_a_search_and_stays_for_one_genotype() -> None:
    config = tiny_detector("rtmdet")
    for for_search in (True, False):
        changed = with_super_net(config, for_search, num_nodes=1)
        norm = dict(type="GN", num_groups=1) if for_search else dict(type="SyncBN")
        neck = changed.model.neck
        assert neck.norm_cfg == neck.output_norm_cfg == changed.model.bbox_head.norm_cfg == norm
        assert neck.act_cfg == dict(type="SiLU", inplace=True)
        assert changed.model.backbone == config.model.backbone
        model = build_detector(with_sub_net(changed, TOP_DOWN))
        behind = [part for name, part in model.named_modules() if not name.startswith("backbone")]
        assert any(isinstance(part, _BatchNorm) for part in behind) is not for_search


def test_batch_norm_that_is_a_heads_default_becomes_group_norm() -> None:
    config = load_config("mmdet::yolox_tiny_8xb8-300e_coco")
    del config.model.bbox_head["norm_cfg"]
    assert with_super_net(config).model.bbox_head.norm_cfg == dict(type="GN", num_groups=1)


def test_settings_given_go_first_and_imports_stay() -> None:
    config = tiny_detector("atss")
    config.custom_imports = dict(imports=["json"], allow_failed_imports=False)
    changed = with_super_net(config, norm_cfg=dict(type="GN", num_groups=4), paths=["top_down", "bottom_up"])
    assert changed.model.neck.norm_cfg == dict(type="GN", num_groups=4)
    assert changed.custom_imports.imports == ["json", "opanas_cli.detection"]
