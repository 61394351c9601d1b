"""Finding, reading and overriding configs."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import pytest
from mmdet.registry import DATASETS
from mmengine.logging import MMLogger

from opanas_cli.detection.configs.building import build_detector
from opanas_cli.detection.configs.files import find_config, load_config, parse_overrides, shipped_configs
from opanas_cli.detection.configs.parts import as_classes, class_heads, each_dataset, each_evaluator
from opanas_cli.detection.configs.sections import section_of
from opanas_cli.detection.exporting.detector_config import export_config
from opanas_cli.errors import InvalidConfigError, UsageError
from opanas_cli.formats import resolve_genotype
from opanas_cli.stage_settings import SuperNetSection


def test_shipped_configs_are_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert {"coco", "custom", "shapes", "voc"} <= set(shipped_configs())
    assert find_config("coco") == shipped_configs()["coco"]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "coco").write_text("model = dict()")
    assert find_config("coco") == Path("coco")


def test_names_that_are_nearly_right() -> None:
    with pytest.raises(InvalidConfigError, match="did you mean 'coco'"):
        find_config("cocco")
    with pytest.raises(InvalidConfigError, match="shipped configs are coco, "):
        find_config("something else")


@pytest.mark.parametrize("name", ["coco", "voc", "shapes"])
def test_every_shipped_config_has_what_a_search_needs(name: str) -> None:
    config = load_config(name)
    assert config.model.neck.type == "OPASuperNet"
    for split in ("train", "val", "test"):
        assert each_dataset(config[f"{split}_dataloader"])
    classes = {"coco": 80, "voc": 20, "shapes": 3}[name]
    assert [head["num_classes"] for head in class_heads(config.model)] == [classes]


def test_data_root_reaches_every_data_set_and_the_metric() -> None:
    config = load_config("voc", ["data_root=/elsewhere"])
    datasets = [
        dataset for split in ("train", "val", "test") for dataset in each_dataset(config[f"{split}_dataloader"])
    ]
    assert len(datasets) == 4
    assert {dataset.data_root for dataset in datasets} == {"/elsewhere"}
    coco = load_config("coco", ["data_root=/elsewhere"])
    assert [evaluator.data_root for evaluator in each_evaluator(coco, "test")] == ["/elsewhere"]


def test_classes_reach_every_data_set_and_the_head() -> None:
    config = load_config("coco", ["classes=person,dog"])
    for split in ("train", "val", "test"):
        for dataset in each_dataset(config[f"{split}_dataloader"]):
            assert dataset.metainfo.classes == ("person", "dog")
    assert [head["num_classes"] for head in class_heads(config.model)] == [2]


def test_overrides() -> None:
    assert parse_overrides(["a.b=3", "c=x,y", "d=None", "e=1=2", "f=[1,(2,3)]", "g="]) == {
        "a.b": 3,
        "c": ["x", "y"],
        "d": None,
        "e": "1=2",
        "f": [1, (2, 3)],
        "g": "",
    }
    assert load_config("shapes", ["supernet.epochs=3"]).supernet.epochs == 3


@pytest.mark.parametrize("override", ["a", "=1", "", "a=[1,(2"])
def test_malformed_overrides(override: str) -> None:
    with pytest.raises(UsageError, match="--cfg-options: "):
        parse_overrides([override])


@pytest.mark.parametrize(
    ("given", "classes"), [("cat", ("cat",)), (["a", "b"], ("a", "b")), (5, ("5",)), ([1], ("1",))]
)
def test_class_names(given: object, classes: tuple[str, ...]) -> None:
    assert as_classes(given) == classes


def test_paths_and_names_may_hold_spaces_and_commas() -> None:
    parsed = parse_overrides(["data_root=/my data/a, b", "classes=red cell, white cell", "supernet.epochs=3"])
    assert parsed == {
        "data_root": "/my data/a, b",
        "classes": ("red cell", "white cell"),
        "supernet.epochs": 3,
    }
    for one in ("cell", "[cell]", "('cell',)"):
        assert parse_overrides([f"classes={one}"]) == {"classes": ("cell",)}


@pytest.mark.parametrize("override", ["retrain.epochs=3", "supernet.lr=0.1", "search.population=3", "retrain=None"])
def test_stages_that_a_finished_config_has_not_are_refused(tmp_path: Path, override: str) -> None:
    """Or the stage's defaults would take the place of what the config says."""
    file = tmp_path / "exported.py"
    exported = export_config(resolve_genotype("fpn"), "shapes")
    file.write_text(exported.pretty_text)
    section = override.split("=")[0].split(".")[0]
    said = f"{override.split('=')[0]}: .*exported.py has no section '{section}'.* set train_cfg.max_epochs, "
    with pytest.raises(UsageError, match=said):
        load_config(str(file), [override])
    config = load_config(str(file), ["train_cfg.max_epochs=3"])
    assert (config.train_cfg.max_epochs, config.optim_wrapper) == (3, exported.optim_wrapper)


def test_a_super_net_without_sections_takes_their_settings(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text("model = dict(type='FasterRCNN', neck=dict(type='OPASuperNet'))")
    config = load_config(str(file), ["supernet.epochs=3"])
    assert section_of(config, "supernet") == SuperNetSection(epochs=3)


def test_a_section_of_the_file_takes_settings_whatever_the_neck(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text("model = dict(neck=dict(type='OPAFPN'))\nretrain = dict(lr=0.5)")
    assert load_config(str(file), ["retrain.epochs=3"]).retrain == dict(lr=0.5, epochs=3)


def test_mmengine_says_nothing_of_a_scope(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """With --json, stdout is one document."""
    monkeypatch.setattr(MMLogger, "_instance_dict", OrderedDict())
    config = load_config("shapes", ["model.backbone._scope_=nope"])
    assert DATASETS.get("CocoDataset")
    build_detector(config)
    assert capsys.readouterr().out == ""
