"""Images found by their stems."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.registry import DATASETS, METRICS
from mmengine.registry import DefaultScope
from PIL import Image

from opanas_cli.detection.configs.files import load_config
from opanas_cli.detection.data.voc_folder import SUFFIXES, ImagesByStem

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


@pytest.mark.parametrize(("missed_difficult", "missed_plain"), [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_the_shipped_config_counts_difficult_objects_neither_as_found_nor_as_missed(
    missed_difficult: int, missed_plain: int, tmp_path: Path
) -> None:
    """From the XML files through the shipped pipeline to the metric that ``configs/voc.py`` ranks by."""
    folder = tmp_path / "VOC2007"
    for name in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (folder / name).mkdir(parents=True)
    boxes = {"plain": (11, 11, 40, 40), "other": (50, 11, 90, 40), "difficult": (11, 50, 40, 90)}
    things = "".join(
        f"<object><name>cat</name><difficult>{int(name == 'difficult')}</difficult><bndbox><xmin>{box[0]}</xmin>"
        f"<ymin>{box[1]}</ymin><xmax>{box[2]}</xmax><ymax>{box[3]}</ymax></bndbox></object>"
        for name, box in boxes.items()
    )
    size = "<size><width>100</width><height>100</height></size>"
    (folder / "Annotations" / "1.xml").write_text(f"<annotation>{size}{things}</annotation>")
    (folder / "ImageSets" / "Main" / "test.txt").write_text("1\n")
    Image.fromarray(np.full((100, 100, 3), 7, dtype=np.uint8)).save(folder / "JPEGImages" / "1.jpg")
    config = load_config("voc", (f"data_root={tmp_path}",))
    with DefaultScope.overwrite_default_scope("mmdet"):
        dataset = DATASETS.build(config.test_dataloader.dataset)
        metric = METRICS.build(config.test_evaluator)
    metric.dataset_meta = dataset.metainfo
    missed = [*["difficult"] * missed_difficult, *["plain"] * missed_plain]
    found = [[side - 1 for side in box] for name, box in boxes.items() if name not in missed]
    sample = dataset[0]["data_samples"].to_dict()
    # Surest of all, and twice: as wrong finds they would halve the precision.
    found = [found[-1]] * 2 + found if not missed_difficult else found
    scores = torch.linspace(0.9, 0.1, len(found))
    labels = torch.full((len(found),), dataset.metainfo["classes"].index("cat"))
    metric.process({}, [{**sample, "pred_instances": dict(bboxes=torch.tensor(found), scores=scores, labels=labels)}])
    # Eleven recalls, of which half is reached by the first six.
    assert metric.compute_metrics(metric.results)[config.search.metric] == pytest.approx(6 / 11 if missed_plain else 1)
