"""Images found by their stems."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mmdet.registry import DATASETS
from mmengine.registry import DefaultScope
from PIL import Image

from opanas_cli.detection.voc_folder import SUFFIXES, ImagesByStem

XML = "<annotation><object><name>cell</name><bndbox>{}</bndbox></object></annotation>".format(
    "".join(f"<{side}>{value}</{side}>" for side, value in (("xmin", 2), ("ymin", 3), ("xmax", 9), ("ymax", 8)))
)


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".JPG", ".Png"])
def test_any_suffix(suffix: str, tmp_path: Path) -> None:
    (tmp_path / f"a.b{suffix}").touch()
    (tmp_path / "a.b.txt").touch()
    (tmp_path / f"a{suffix}").touch()
    assert ImagesByStem(tmp_path)["a.b"] == f"a.b{suffix}"


def test_jpg_goes_first_and_is_the_answer_where_nothing_is(tmp_path: Path) -> None:
    for name in ("a.jpg", "a.png", "a.bmp"):
        (tmp_path / name).touch()
    images = ImagesByStem(tmp_path)
    assert (images["a"], images["b"], images["gone/b"]) == ("a.jpg", "b.jpg", "gone/b.jpg")


def test_folders_below_are_listed_once_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "night").mkdir()
    for index in range(5):
        (tmp_path / "night" / f"{index}.png").touch()
    listed: list[Path] = []
    iterdir = Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda path: listed.append(path) or iterdir(path))
    images = ImagesByStem(tmp_path)
    assert [images[f"night/{index}"] for index in range(5)] == [f"night/{index}.png" for index in range(5)]
    assert listed == [tmp_path / "night"]


def test_the_data_set_loads_them(tmp_path: Path) -> None:
    for name in ("Annotations", "JPEGImages"):
        (tmp_path / name).mkdir()
    for name, suffix in (("a", ".png"), ("b", ".jpg"), ("c", ".BMP")):
        Image.fromarray(np.full((20, 30, 3), 7, dtype=np.uint8)).save(tmp_path / "JPEGImages" / f"{name}{suffix}")
        (tmp_path / "Annotations" / f"{name}.xml").write_text(XML)
    (tmp_path / "all.txt").write_text("a\nb\nc\n")
    pipeline = [dict(type="LoadImageFromFile")]
    common = dict(data_root=str(tmp_path), ann_file="all.txt", metainfo=dict(classes=("cell",)), pipeline=pipeline)
    with DefaultScope.overwrite_default_scope("mmdet"):
        dataset = DATASETS.build(dict(type="VOCFolder", data_prefix=dict(sub_data_root="."), **common))
    assert [Path(dataset.get_data_info(index)["img_path"]).name for index in range(3)] == ["a.png", "b.jpg", "c.BMP"]
    assert dataset.metainfo["dataset_type"] == "VOC"
    for index in range(3):
        sample = dataset[index]
        assert sample["img"].shape == (20, 30, 3)
        assert (sample["height"], sample["width"]) == (20, 30)
        assert sample["instances"][0]["bbox"] == [1, 2, 8, 7]
