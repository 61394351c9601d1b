"""What annotation files say, against what mmdet reads in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mmdet.registry import DATASETS
from mmengine.registry import DefaultScope
from PIL import Image

from opanas_cli.detection.data.annotation_files import MAX_COCO, forget_coco, read_coco, voc_names
from opanas_cli.detection.data.facts import facts_of
from opanas_cli.errors import InvalidDataError

WIDTH, HEIGHT = 40, 30
SIZE = f"<size><width>{WIDTH}</width><height>{HEIGHT}</height></size>"
SIDES = ("xmin", "ymin", "xmax", "ymax")
OUTSIDE = [(40, 5, 50, 9), (-9, 5, 0, 9), (5, 30, 9, 39), (5, -9, 9, 0), (90, 90, 99, 99), (5, 5, 5, 9), (9, 5, 5, 9)]
WITHIN = [(39, 29, 50, 50), (-9, -9, 1, 1), (0, 0, 40, 30), (-5, -5, 99, 99), (5, 5, 6, 6)]
"""Boxes of left, top, right and bottom, counted from 0."""


def voc(root: Path, boxes: list[tuple[Any, ...]], size: str = SIZE) -> dict[str, Any]:
    """The config of a VOC folder of one image."""
    for name in ("Annotations", "JPEGImages"):
        (root / name).mkdir()
    Image.fromarray(np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)).save(root / "JPEGImages" / "a.jpg")
    things = "".join(
        f"<object><name>cell</name><bndbox>{''.join(map('<{0}>{1}</{0}>'.format, SIDES, box))}</bndbox></object>"
        for box in boxes
    )
    (root / "Annotations" / "a.xml").write_text(f"<annotation>{size}{things}</annotation>")
    (root / "all.txt").write_text("a\n")
    meta, prefix = dict(classes=("cell",)), dict(sub_data_root=".")
    return dict(data_root=str(root), ann_file="all.txt", data_prefix=prefix, metainfo=meta, pipeline=[])


def coco(root: Path, **changes: Any) -> dict[str, Any]:
    """The config of a COCO file of one image and one object; the keys of `changes` are ``LIST__KEY``."""
    document: dict[str, Any] = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": WIDTH, "height": HEIGHT}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5], "area": 25, "iscrowd": 0}],
        "categories": [{"id": 1, "name": "cell"}],
    }
    for key, value in changes.items():
        part, _, entry = key.partition("__")
        document[part][0][entry] = value
    (root / "all.json").write_text(json.dumps(document))
    forget_coco()
    meta, prefix = dict(classes=("cell",)), dict(img="")
    common = dict(data_root=str(root), ann_file="all.json", data_prefix=prefix, metainfo=meta, pipeline=[])
    return dict(type="CocoDataset", **common)


def boxes_read(dataset: dict[str, Any]) -> list[list[float]]:
    """The boxes that mmdet reads."""
    with DefaultScope.overwrite_default_scope("mmdet"):
        return [instance["bbox"] for instance in DATASETS.build(dataset).get_data_info(0)["instances"]]


@pytest.mark.parametrize("size", [SIZE, ""])
@pytest.mark.parametrize("kind", ["VOCFolder", "XMLDataset", "VOCDataset"])
def test_boxes_outside_of_a_voc_image_are_left_out(kind: str, size: str, tmp_path: Path) -> None:
    counted_from_one = [tuple(side + 1 for side in box) for box in (*OUTSIDE, *WITHIN)]
    dataset = {**voc(tmp_path, counted_from_one, size), "type": kind}
    facts = facts_of(dataset, "config.py")
    assert (facts.empty_boxes, facts.objects["cell"]) == (len(OUTSIDE), len(WITHIN))
    (corner,) = facts.corners.values()
    assert corner == (max(box[0] for box in WITHIN), max(box[1] for box in WITHIN))
    assert boxes_read(dataset) == [list(box) for box in WITHIN]


@pytest.mark.parametrize("box", [*OUTSIDE, *WITHIN])
def test_coco_files_leave_out_the_same_boxes(box: tuple[int, ...], tmp_path: Path) -> None:
    left, top, right, bottom = box
    dataset = coco(tmp_path, annotations__bbox=[left, top, right - left, bottom - top], annotations__area=9)
    assert facts_of(dataset, "config.py").empty_boxes == (box in OUTSIDE)
    assert boxes_read(dataset) == ([list(box)] if box in WITHIN else [])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"annotations__bbox": [1, 1, 10**400, 5]}, r"annotations\[0\]: bbox and area must be finite numbers"),
        ({"annotations__bbox": [1, 1, 1e300, 5]}, r"annotations\[0\]: bbox and area must be finite numbers"),
        ({"annotations__area": -(10**400)}, r"annotations\[0\]: bbox and area must be finite numbers"),
        ({"images__width": 10**400}, r"images\[0\]: width and height must be finite numbers"),
        ({"images__height": float("nan")}, r"images\[0\]: width and height must be finite numbers"),
        ({"images__file_name": 5}, r"images\[0\]\.file_name: must be text in quotes, but got 5"),
        ({"categories__name": 5}, r"categories\[0\]\.name: must be text in quotes, but got 5"),
        ({"categories__name": None}, r"categories\[0\]\.name: must be text in quotes, but got None"),
        ({"categories__name": ["cell"]}, r"categories\[0\]\.name: must be text in quotes"),
        ({"annotations__iscrowd": "0"}, r"annotations\[0\]\.iscrowd: must be 0 or 1, but got '0'"),
        ({"annotations__iscrowd": 2}, r"annotations\[0\]\.iscrowd: must be 0 or 1, but got 2"),
        ({"annotations__iscrowd": []}, r"annotations\[0\]\.iscrowd: must be 0 or 1"),
        ({"annotations__ignore": "false"}, r"annotations\[0\]\.ignore: must be 0 or 1"),
    ],
)
def test_entries_of_coco_files_that_are_refused(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidDataError, match=f"all.json: {said}"):
        facts_of(coco(tmp_path, **change), "config.py")


@pytest.mark.parametrize("crowd", [0, 1, True, False])
def test_crowds(crowd: Any, tmp_path: Path) -> None:
    assert facts_of(coco(tmp_path, annotations__iscrowd=crowd), "config.py").objects == {"cell": 1}


@pytest.mark.parametrize("side", ["inf", "1e300", "1" + "0" * 400])
def test_sides_of_voc_boxes_that_are_refused(side: str, tmp_path: Path) -> None:
    dataset = {**voc(tmp_path, [(1, 1, side, 9)]), "type": "VOCFolder"}
    with pytest.raises(InvalidDataError, match=r"object\[0\]: xmin, ymin, xmax, ymax must be finite numbers"):
        facts_of(dataset, "config.py")


@pytest.mark.parametrize("width", ["0", "-3", "4.5", "1" + "0" * 400, "9" * 5000, ""])
def test_sizes_of_voc_images_that_are_refused(width: str, tmp_path: Path) -> None:
    size = f"<size><width>{width}</width><height>9</height></size>"
    with pytest.raises(InvalidDataError, match="size: width and height must be whole numbers of pixels"):
        facts_of({**voc(tmp_path, [(1, 1, 9, 9)], size), "type": "VOCFolder"}, "config.py")


@pytest.mark.parametrize("name", ["/etc/passwd", "../a", "../../a", "night/../../a", ".."])
def test_names_that_lead_out_of_the_data_set(name: str, tmp_path: Path) -> None:
    (tmp_path / "all.txt").write_text(f"night/0001\n{name}\n")
    outside = "'.*' is outside the data set; give a name in it"
    with pytest.raises(InvalidDataError, match=rf"all\.txt: line 2: {outside}"):
        voc_names(tmp_path / "all.txt")
    with pytest.raises(InvalidDataError, match=rf"all\.json: images\[0\]\.file_name: {outside}"):
        facts_of(coco(tmp_path, images__file_name=name), "config.py")


def test_a_line_without_end(tmp_path: Path) -> None:
    (tmp_path / "all.txt").write_text("a\n" + "b" * 10**6)
    with pytest.raises(InvalidDataError, match=r"all\.txt: line 2: must be just the name of an image, but got 'b"):
        voc_names(tmp_path / "all.txt")


def test_a_coco_file_that_is_too_large(tmp_path: Path) -> None:
    with (tmp_path / "all.json").open("wb") as file:
        file.truncate(MAX_COCO + 1)
    with pytest.raises(InvalidDataError, match=r"all\.json: cannot be read \(it is larger than 16384 MiB\)"):
        read_coco(tmp_path / "all.json")


def test_lines_end_where_they_end_for_mmdet(tmp_path: Path) -> None:
    from mmengine.fileio import list_from_file

    path = tmp_path / "all.txt"
    path.write_bytes("a\x0bb\r\nc\x1cd\ne\u2028f\rg..h\n".encode())
    assert voc_names(path) == list_from_file(path) == ["a\x0bb", "c\x1cd", "e\u2028f", "g..h"]
