"""Class names and boxes in YOLO's files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from made_layouts import add_text
from mmdet.registry import DATASETS
from mmengine.registry import DefaultScope
from PIL import Image

from opanas_cli.detection.data.facts import facts_of
from opanas_cli.detection.data.yolo_files import class_names, yolo_boxes
from opanas_cli.errors import InvalidDataError


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("data.yaml", "names: [a b, 'größe', no, 007]", ("a b", "größe", "no", "007")),
        ("data.yml", "names:\n  1: b\n  0: a\nnc: 2\n", ("a", "b")),
        ("data.yaml", "train: x\nnames:\n- a\n- b: c\n", None),
        ("data.yaml", "names: []", None),
        ("data.yaml", "names: {1: a}", None),
        ("data.yaml", "names: [a, a]", None),
        ("data.yaml", "names: [a]\nnc: 3\n", None),
        ("data.yaml", "names: [a]\nkpt_shape: [4, 2]\n", None),
        ("data.yaml", "- names", None),
        ("data.yaml", "names: [", None),
        ("data.yaml", "!!python/object/apply:os.system ['echo']", None),
        ("classes.txt", "\ufeffred cell\r\n7\r\n\r\n", ("red cell", "7")),
        ("classes.txt", "a\n\nb\n", None),
        ("classes.txt", "", None),
        ("obj.names", "a\na\n", None),
    ],
)
def test_class_names(name: str, text: str, expected: tuple[str, ...] | None, tmp_path: Path) -> None:
    add_text(tmp_path / name, text)
    if expected is not None:
        assert class_names(tmp_path / name) == expected
        return
    with pytest.raises(InvalidDataError, match=name):
        class_names(tmp_path / name)


def test_text_that_is_no_utf_8(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_bytes(b"gr\xf6\xdfe\n")
    with pytest.raises(InvalidDataError, match=r"classes\.txt: is not UTF-8 text"):
        class_names(tmp_path / "classes.txt")


def test_boxes_and_polygons(tmp_path: Path) -> None:
    add_text(tmp_path / "a.txt", "1 0.5 0.5 0.25 0.5\n\n0 0.1 0.2 0.4 0.3 0.2 0.9\n")
    assert yolo_boxes(tmp_path / "a.txt", ("cat", "dog")) == [
        ("dog", (0.375, 0.25, 0.625, 0.75)),
        ("cat", (0.1, 0.2, 0.4, 0.9)),
    ]
    add_text(tmp_path / "b.txt", "")
    assert yolo_boxes(tmp_path / "b.txt", ("cat",)) == yolo_boxes(tmp_path / "gone.txt", ("cat",)) == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("0 0.5 0.5 0.5", "must be class, x, y, width and height, but got "),
        ("0 0.5 0.5 0.5 0.5 0.9", "must be class, x, y, width and height, but got "),
        ("cat 0.5 0.5 0.5 0.5", "must be numbers, but got "),
        ("2 0.5 0.5 0.5 0.5", "class 2 has no name; there are 2, from 0 on"),
        ("-1 0.5 0.5 0.5 0.5", "class -1 has no name"),
        ("0.5 0.5 0.5 0.5 0.5", "class 0.5 has no name"),
        ("nan 0.5 0.5 0.5 0.5", "class nan has no name"),
        ("0 12 30 5 5", "must be fractions of the image from 0 to 1"),
        ("0 nan 0.5 0.5 0.5", "must be fractions of the image from 0 to 1"),
        ("0 0.5 0.5 inf 0.5", "must be fractions of the image from 0 to 1"),
    ],
)
def test_lines_that_are_refused(line: str, said: str, tmp_path: Path) -> None:
    add_text(tmp_path / "a.txt", f"0 0.5 0.5 0.5 0.5\n{line}\n")
    with pytest.raises(InvalidDataError, match=rf"a\.txt: line 2: {said}"):
        yolo_boxes(tmp_path / "a.txt", ("cat", "dog"))


@pytest.mark.parametrize(
    ("suffix", "pipeline"),
    [("jpg", []), ("webp", [dict(type="LoadImageFromFile", imdecode_backend="pillow")])],
)
def test_boxes_are_fractions_of_the_image_as_it_is_shown(suffix: str, pipeline: list[Any], tmp_path: Path) -> None:
    """Cameras store pictures lying, and both mmcv and the tools that draw boxes turn them."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (100, 50)).save(tmp_path / f"a.{suffix}", exif=exif)
    add_text(tmp_path / "a.txt", "0 0.5 0.5 1 0.5\n0 0.5 0.5 0.01 0.01\n")
    add_text(tmp_path / "classes.txt", "cat\n")
    dataset = dict(
        type="YOLOFolder",
        data_root=str(tmp_path),
        ann_file="classes.txt",
        data_prefix=dict(img=".", ann="."),
        metainfo=dict(classes=("cat",)),
        pipeline=pipeline,
    )
    with DefaultScope.overwrite_default_scope("mmdet"):
        info = DATASETS.build(dataset).get_data_info(0)
    assert (info["width"], info["height"]) == (50, 100)
    # The second box is half a pixel wide: mmdet leaves out such ones of COCO's files.
    assert [instance["bbox"] for instance in info["instances"]] == [[0, 25, 50, 75]]
    assert facts_of(dataset, "config.py").empty_boxes == 1


@pytest.mark.parametrize("content", [b"", b"no image"])
def test_images_that_cannot_be_read(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(content)
    add_text(tmp_path / "classes.txt", "cat\n")
    dataset = dict(
        type="YOLOFolder", data_root=str(tmp_path), ann_file="classes.txt", data_prefix=dict(img=".", ann=".")
    )
    with pytest.raises(InvalidDataError, match=r"a\.jpg: is not a readable image .*; restore or remove it"):
        facts_of(dataset, "config.py")
