"""What goes wrong while mmengine trains, in words of ours."""

from __future__ import annotations

from urllib.error import URLError

import pytest
from mmengine.config import Config

from opanas_cli.detection.runs import training
from opanas_cli.errors import OpanasError


@pytest.mark.parametrize("nested", [False, True])
def test_weights_that_cannot_be_downloaded(nested: bool) -> None:
    model = dict(backbone=dict(init_cfg=dict(checkpoint="torchvision://resnet50")))
    config = Config(dict(model=dict(detector=model) if nested else model))
    with (
        pytest.raises(OpanasError, match=r"torchvision://resnet50: cannot be downloaded \(no network\); put"),
        training(config),
    ):
        raise URLError("no network")


def test_other_errors_pass() -> None:
    with pytest.raises(ZeroDivisionError), training(Config(dict(model={}))):
        raise ZeroDivisionError
