"""What goes wrong while mmengine trains, in words of ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import torch
from mmdet.registry import DATASETS, TRANSFORMS
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.registry import DefaultScope
from tiny_config import tiny_config
from torch.utils.data import DataLoader

from opanas_cli.detection.checkpoints import read_checkpoint
from opanas_cli.detection.configs.building import build_detector
from opanas_cli.detection.training.networks import sub_net_config
from opanas_cli.detection.training.retraining import train_detector
from opanas_cli.detection.training.runner import training
from opanas_cli.detection.training.supernet_training import train_super_net
from opanas_cli.errors import InvalidDataError, OpanasError
from opanas_cli.genotype import Genotype


@pytest.mark.parametrize("nested", [False, True])
def test_weights_that_cannot_be_downloaded(nested: bool) -> None:
    model = dict(backbone=dict(init_cfg=dict(checkpoint="torchvision://resnet50")))
    config = Config(dict(model=dict(detector=model) if nested else model))
    with (
        pytest.raises(OpanasError, match=r"torchvision://resnet50: cannot be downloaded \(no network\); put"),
        training(config),
    ):
        raise URLError("no network")


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("super_net", [False, True])
def test_weights_to_load_from(super_net: bool, nested: bool, shapes_root: Path, tmp_path: Path) -> None:
    """As mmdet writes them, alone or in a checkpoint; a learning rate near 0 leaves them as they were loaded."""
    config = tiny_config(shapes_root, "faster-rcnn", "supernet.lr=1e-30", "supernet.epochs=1", "retrain.lr=1e-30")
    config.load_from = str(tmp_path / "weights.pth")
    stage = config if super_net else sub_net_config(config, Genotype.of(["top_down"] * 3))
    torch.manual_seed(3)
    state = build_detector(stage).state_dict()
    torch.save({"state_dict": state, "meta": {"epoch": 12}} if nested else state, config.load_from)
    trained = (train_super_net if super_net else train_detector)(stage, tmp_path, 0, torch.device("cpu"))
    found = read_checkpoint(trained.path)["state_dict"]
    for name in ("backbone.layer1.0.conv1.weight", "roi_head.bbox_head.fc_cls.weight"):
        assert torch.equal(found[name], state[name])


def test_other_errors_pass() -> None:
    with pytest.raises(ZeroDivisionError), training(Config(dict(model={}))):
        raise ZeroDivisionError


@TRANSFORMS.register_module(force=True)
class LeavesOut:
    """Gives None."""

    def __call__(self, results: dict[str, Any]) -> None:
        """Whatever it is given."""


@DATASETS.register_module(force=True)
class TwoImages(BaseDataset):
    """Nothing but two names."""

    def load_data_list(self) -> list[dict[str, Any]]:
        return [{"img_path": "0.jpg"}, {"img_path": "1.jpg"}]


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("test_mode", [False, True])
def test_a_pipeline_that_leaves_out_every_image(workers: int, wrapped: bool, test_mode: bool) -> None:
    config: Any = dict(
        type="TwoImages", pipeline=[dict(type="LeavesOut")], data_prefix={}, test_mode=test_mode, max_refetch=20
    )
    if wrapped:
        config = dict(type="ConcatDataset", datasets=[config])
    with DefaultScope.overwrite_default_scope("mmdet"):
        loader = DataLoader(DATASETS.build(config), num_workers=workers)
        with (
            pytest.raises(InvalidDataError, match=r"^my.py: the pipeline drops every image; correct its"),
            training(Config(dict(model={}), cfg_text="model = {}", filename="my.py")),
        ):
            list(loader)
