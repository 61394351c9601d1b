"""A folder of one's own, in VOC or COCO layout."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from opanas_cli.detection.configs.files import load_config
from opanas_cli.detection.configs.parts import class_heads
from opanas_cli.errors import InvalidConfigError, InvalidDataError, OpanasError

XML = (
    "<annotation><size><width>9</width><height>9</height></size><object><name>{}</name><bndbox><xmin>1</xmin>"
    "<ymin>1</ymin><xmax>5</xmax><ymax>5</ymax></bndbox></object></annotation>"
)


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    for name in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (tmp_path / name).mkdir(parents=True)
    for name, label in (("a", "zebra"), ("b", "ant")):
        (tmp_path / "Annotations" / f"{name}.xml").write_text(XML.format(label))
    for split in ("train", "val", "test"):
        (tmp_path / "ImageSets" / "Main" / f"{split}.txt").write_text("a\nb\n")
    return tmp_path


def coco(root: Path, ann_file: str, images: str, names: tuple[str, ...] = ("zebra", "ant")) -> None:
    """One split of a COCO folder with a single image."""
    (root / images).mkdir(parents=True, exist_ok=True)
    (root / images / "1.jpg").touch()
    path = root / ann_file
    path.parent.mkdir(parents=True, exist_ok=True)
    categories = [{"id": index, "name": name} for index, name in enumerate(names)]
    path.write_text(json.dumps({"images": [{"id": 1, "file_name": "1.jpg"}], "categories": categories}))


def loaded(root: Path, *options: str) -> Any:
    return load_config("custom", (f"data_root={root}", *options))


def num_classes(config: Any) -> list[int]:
    return [head["num_classes"] for head in class_heads(config.model)]


def test_voc(voc: Path) -> None:
    config = loaded(voc)
    for split in ("train", "val", "test"):
        dataset = config[f"{split}_dataloader"].dataset
        assert (dataset.type, dataset.ann_file) == ("VOCFolder", f"ImageSets/Main/{split}.txt")
        assert dataset.metainfo.classes == ("ant", "zebra")
    assert config.train_dataloader.dataset.filter_cfg.filter_empty_gt
    assert config.test_dataloader.dataset.test_mode
    assert num_classes(config) == [2]


def test_voc_classes_in_the_order_asked_for(voc: Path) -> None:
    config = loaded(voc, "classes=zebra,ant")
    assert config.train_dataloader.dataset.metainfo.classes == ("zebra", "ant")
    assert num_classes(loaded(voc, "classes=ant")) == [1]


def test_without_a_test_split_the_validation_split_is_tested_on(voc: Path) -> None:
    (voc / "ImageSets" / "Main" / "test.txt").unlink()
    assert loaded(voc).test_dataloader.dataset.ann_file == "ImageSets/Main/val.txt"


def test_without_a_training_split_there_is_nothing_to_train_on(voc: Path) -> None:
    (voc / "ImageSets" / "Main" / "train.txt").unlink()
    with pytest.raises(
        InvalidDataError, match="has a split 'val' but no 'train'; add it, or remove all splits to have"
    ):
        loaded(voc)


@pytest.mark.parametrize(
    ("ann_file", "images"),
    [
        ("annotations/{}.json", "{}"),
        ("annotations/instances_{}.json", "images/{}"),
        ("annotations/instances_{}2017.json", "{}2017"),
        ("annotations/{}.json", "images"),
        ("{}/_annotations.coco.json", "{}"),
    ],
)
def test_layouts_of_coco(ann_file: str, images: str, tmp_path: Path) -> None:
    for split in ("train", "val"):
        coco(tmp_path, ann_file.format(split), images.format(split))
    config = loaded(tmp_path)
    for split, found in (("train", "train"), ("val", "val"), ("test", "val")):
        dataset = config[f"{split}_dataloader"].dataset
        assert dataset.type == "CocoDataset"
        assert dataset.ann_file == ann_file.format(found)
        assert dataset.data_prefix.img == images.format(found)
        assert dataset.metainfo.classes == ("zebra", "ant")
    assert num_classes(config) == [2]


def test_classes_of_coco_keep_the_order_of_the_file(tmp_path: Path) -> None:
    for split in ("train", "val"):
        coco(tmp_path, f"annotations/{split}.json", split, ("a", "b", "c"))
    assert loaded(tmp_path, "classes=c,a").train_dataloader.dataset.metainfo.classes == ("a", "c")
    with pytest.raises(InvalidDataError, match="has no category 'd'; its categories are a, b, c"):
        loaded(tmp_path, "classes=a,d")


@pytest.mark.parametrize(
    "document",
    [
        [],
        {},
        {"images": {}},
        {"images": []},
        {"images": [5]},
        {"images": [{}]},
        {"images": [{"file_name": "gone.jpg"}]},
        {"images": [{"file_name": "1.jpg"}]},
        {"images": [{"file_name": "1.jpg"}], "categories": {"id": 1}},
        {"images": [{"file_name": "1.jpg"}], "categories": [1]},
        {"images": [{"file_name": "1.jpg"}], "categories": [{"id": 1}]},
    ],
)
def test_documents_that_are_none_of_coco(document: Any, tmp_path: Path) -> None:
    for split in ("train", "val"):
        coco(tmp_path, f"annotations/{split}.json", split)
    path = tmp_path / "annotations" / "train.json"
    path.write_text(json.dumps(document))
    with pytest.raises(InvalidDataError, match=r"train\.json: "):
        loaded(tmp_path)


def test_no_data_root(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfigError, match="data_root is not set"):
        load_config("custom")
    with pytest.raises(InvalidDataError, match="no such folder"):
        loaded(tmp_path / "gone")
    with pytest.raises(InvalidDataError, match="is in no known layout: there are neither annotations in COCO's JSON"):
        loaded(tmp_path)


def test_a_voc_folder_without_objects(voc: Path) -> None:
    shutil.copy(voc / "Annotations" / "a.xml", voc / "Annotations" / "b.xml")
    for path in (voc / "Annotations").iterdir():
        path.write_text("<annotation/>")
    with pytest.raises(OpanasError, match="its annotations name no object"):
        loaded(voc)
