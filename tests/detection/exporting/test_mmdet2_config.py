"""Configs for mmdet 2: its keys, its steps, and nothing of mmdet 3. `benchmarks/old_mmdet.py` runs them there."""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config

from opanas_cli.commands import run
from opanas_cli.detection.exporting.detector_config import DETECTORS, export_config, standalone_config
from opanas_cli.detection.exporting.mmdet2_config import mmdet2_config
from opanas_cli.errors import InvalidConfigError
from opanas_cli.formats import resolve_genotype

OPA_FPN = resolve_genotype("opa-fpn")
ONLY_IN_3 = re.compile(
    "dataloader|evaluator|PackDetInputs|data_preprocessor|optim_wrapper|param_scheduler|default_scope|metainfo|"
    "data_prefix|train_pipeline|_delete_|opanas_cli|filter_cfg|TrainLoop"
)


def converted(dataset: str = "coco", **options: Any) -> Config:
    return mmdet2_config(standalone_config(export_config(OPA_FPN, dataset, **options), "winner_neck"))


@pytest.mark.parametrize("dataset", ["coco", "voc"])
@pytest.mark.parametrize("detector", list(DETECTORS))
def test_nothing_of_mmdet_3_is_left(detector: str, dataset: str) -> None:
    config = converted(dataset, detector=detector)
    assert not ONLY_IN_3.search(config.pretty_text)
    assert set(config.data) == {"samples_per_gpu", "workers_per_gpu", "train", "val", "test"}
    assert config.model.neck.type == "StandaloneOPAFPN"
    assert config.evaluation.metric == dict(coco="bbox", voc="mAP")[dataset]


def test_the_schedule_and_the_data_are_the_papers() -> None:
    config = converted()
    assert config.optimizer == dict(type="SGD", lr=0.02, momentum=0.9, weight_decay=1e-4)
    assert config.lr_config == dict(
        policy="step", warmup="linear", warmup_iters=500, warmup_ratio=0.001, step=[8, 11], gamma=0.1
    )
    assert config.runner == dict(type="EpochBasedRunner", max_epochs=12)
    assert (config.data.train.ann_file, config.data.train.img_prefix) == (
        "annotations/instances_train2017.json",
        "train2017/",
    )
    assert [step["type"] for step in config.data.train.pipeline] == [
        *("LoadImageFromFile", "LoadAnnotations", "FilterAnnotations", "Resize", "RandomFlip"),
        *("Normalize", "Pad", "DefaultFormatBundle", "Collect"),
    ]
    normalise = config.data.train.pipeline[5]
    assert (normalise.mean[0], normalise.std[0], normalise.to_rgb) == (123.675, 58.395, True)
    load, augment = config.data.test.pipeline
    assert (load.type, augment.img_scale, augment.flip) == ("LoadImageFromFile", (1333, 800), False)
    assert "LoadAnnotations" not in str(augment)


def test_several_scales_and_years() -> None:
    config = converted("voc", schedule="2x-ms")
    years = config.data.train.datasets
    assert [year.img_prefix for year in years] == ["VOC2007/", "VOC2012/"]
    resize = years[0].pipeline[3]
    assert resize == dict(
        type="Resize", img_scale=[(1600, 400), (1600, 1400)], keep_ratio=True, multiscale_mode="range"
    )


def test_scales_by_a_ratio_and_flips_of_another_direction() -> None:
    config = standalone_config(export_config(OPA_FPN, "coco"), "winner_neck")
    pipeline = config.train_dataloader.dataset.pipeline
    pipeline[3] = dict(type="RandomResize", scale=(1333, 800), ratio_range=(0.5, 2.0), keep_ratio=True)
    pipeline[4] = dict(type="RandomFlip", prob=0.5, direction="vertical")
    resize, flip = mmdet2_config(config).data.train.pipeline[3:5]
    assert resize == dict(
        type="Resize", img_scale=(1333, 800), keep_ratio=True, multiscale_mode="range", ratio_range=(0.5, 2.0)
    )
    assert flip == dict(type="RandomFlip", flip_ratio=0.5, direction="vertical")


def test_what_has_no_counterpart_is_refused() -> None:
    config = standalone_config(export_config(OPA_FPN, "coco"), "winner_neck")
    config.custom_hooks = [dict(type="EMAHook")]
    with pytest.raises(InvalidConfigError, match="custom_hooks: is not translated to mmdet 2"):
        mmdet2_config(config)
    config = standalone_config(export_config(OPA_FPN, "coco"), "winner_neck")
    config.train_dataloader.dataset.pipeline[4] = dict(type="Mosaic")
    with pytest.raises(InvalidConfigError, match="the step Mosaic is not translated to mmdet 2"):
        mmdet2_config(config)


def test_the_files(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "winner.py"
    assert run(["export", "opa-fpn", "--to", "mmdet2-config", "-o", str(output)]) == 0
    assert f"train it by python tools/train.py {output} of mmdet 2.28" in capsys.readouterr().out
    neck = tmp_path / "winner_neck.py"
    assert sorted(tmp_path.iterdir()) == [output, neck]
    # mmcv 1 puts the folder's name in, imports a copy from a folder that it puts first on the path, and takes that off.
    text = output.read_text().replace("{{ fileDirname }}", str(tmp_path))
    values: dict[str, Any] = {}
    monkeypatch.setattr(sys, "path", ["/folder/of/the/copy", *sys.path])
    exec(compile(text, str(output), "exec"), values)
    sys.path.pop(0)
    assert values["custom_imports"]["imports"] == ["winner_neck"]
    found = importlib.util.find_spec("winner_neck")
    assert found is not None
    assert found.origin == str(neck)
    modules = {node.module for node in ast.walk(ast.parse(neck.read_text())) if isinstance(node, ast.ImportFrom)}
    assert modules >= {"mmcv.ops", "mmdet.models.builder"}
    assert not [module for module in modules if str(module).startswith("opanas")]
