"""Folders of a few images in each layout that people and programs write, all with the same objects."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

CLASSES = ("red cell", "7", "größe")
"""Names with a space, with digits alone, and with letters beyond ASCII."""

WIDTH, HEIGHT = 40, 20

OBJECTS: Mapping[str, Sequence[tuple[str, tuple[int, int, int, int]]]] = {
    "one": [("red cell", (4, 2, 12, 10)), ("7", (20, 5, 40, 15))],
    "two": [("größe", (0, 0, 20, 20))],
    "none": [],
}
"""Of each image by its stem: left, top, right and bottom in pixels."""

SUFFIXES = {"one": ".jpg", "two": ".PNG", "none": ".bmp"}


def add_image(folder: Path, name: str) -> str:
    """Write an image of a stem, which may have folders in it; return its path from `folder` on."""
    path = folder / f"{name}{SUFFIXES[Path(name).name]}"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((HEIGHT, WIDTH, 3), 90, dtype=np.uint8)).save(path)
    return path.relative_to(folder).as_posix()


def add_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def add_voc(images: Path, annotations: Path, names: Iterable[str] = OBJECTS) -> None:
    """XML files of VOC's form, whose corners are counted from 1."""
    for name in names:
        add_image(images, name)
        objects = "".join(
            f"<object><name>{kind}</name><difficult>0</difficult><bndbox><xmin>{box[0] + 1}</xmin><ymin>{box[1] + 1}"
            f"</ymin><xmax>{box[2] + 1}</xmax><ymax>{box[3] + 1}</ymax></bndbox></object>"
            for kind, box in OBJECTS[Path(name).name]
        )
        size = f"<size><width>{WIDTH}</width><height>{HEIGHT}</height><depth>3</depth></size>"
        add_text(annotations / f"{name}.xml", f"<annotation>{size}{objects}</annotation>")


def add_yolo(images: Path, labels: Path, names: Iterable[str] = OBJECTS) -> None:
    """Label files of YOLO, empty ones too."""
    for name in names:
        add_image(images, name)
        lines = [
            f"{CLASSES.index(kind)} {(left + right) / 2 / WIDTH} {(top + bottom) / 2 / HEIGHT} "
            f"{(right - left) / WIDTH} {(bottom - top) / HEIGHT}\n"
            for kind, (left, top, right, bottom) in OBJECTS[Path(name).name]
        ]
        add_text(labels / f"{name}.txt", "".join(lines))


def add_coco(images: Path, ann_file: Path, names: Iterable[str] = OBJECTS, heading: bool = False) -> None:
    """A COCO file; Roboflow writes the name of the project as a category before the others."""
    document: dict[str, list[Any]] = {"images": [], "annotations": [], "categories": []}
    if heading:
        document["categories"].append({"id": 0, "name": "cells-1", "supercategory": "none"})
    for index, name in enumerate(CLASSES, 1):
        document["categories"].append({"id": index, "name": name, "supercategory": "cells-1" if heading else ""})
    for key, name in enumerate(names, 1):
        file_name = add_image(images, name)
        document["images"].append({"id": key, "file_name": file_name, "width": WIDTH, "height": HEIGHT})
        for kind, (left, top, right, bottom) in OBJECTS[Path(name).name]:
            box = [left, top, right - left, bottom - top]
            own = {"id": len(document["annotations"]), "image_id": key, "category_id": CLASSES.index(kind) + 1}
            document["annotations"].append({**own, "bbox": box, "area": box[2] * box[3], "iscrowd": 0})
    add_text(ann_file, json.dumps(document))


def voc_of_labelimg(root: Path) -> None:
    add_voc(root / "images", root / "annotations")


def voc_beside(root: Path) -> None:
    add_voc(root, root)


def voc_nested(root: Path) -> None:
    add_voc(root / "Pictures", root / "xmls", ("a/one", "a/two", "b/none"))


def voc_without_lists(root: Path) -> None:
    add_voc(root / "JPEGImages", root / "Annotations")


def voc_of_cvat(root: Path) -> None:
    voc_without_lists(root)
    add_text(root / "ImageSets" / "Main" / "default.txt", "one\ntwo\nnone\n")
    add_text(root / "labelmap.txt", "# label:color_rgb:parts:actions\n")


def voc_of_roboflow(root: Path) -> None:
    for split in ("train", "valid", "test"):
        add_voc(root / split, root / split)
    add_text(root / "README.roboflow.txt", "exported\n")


def voc_divided(root: Path) -> None:
    for split in ("Train", "Val", "Test"):
        add_voc(root / "images" / split, root / "annotations" / split)


def coco_alone(root: Path) -> None:
    add_coco(root / "images", root / "result.json")


def coco_beside(root: Path) -> None:
    add_coco(root, root / "labels.json")


def coco_of_cvat(root: Path) -> None:
    add_coco(root / "images" / "default", root / "annotations" / "instances_default.json")


def coco_of_roboflow(root: Path) -> None:
    for split in ("train", "valid", "test"):
        add_coco(root / split, root / split / "_annotations.coco.json", heading=True)


def coco_of_other_names(root: Path) -> None:
    for split in ("Train", "Validation", "Test"):
        add_coco(root / "images" / split, root / "annotations" / f"instances_{split}.json")


def yaml_of(root: Path, text: str) -> None:
    names = "".join(f"  {index}: {name}\n" for index, name in enumerate(CLASSES))
    add_text(root / "data.yaml", f"{text}names:\n{names}")


def yolo_of_ultralytics(root: Path) -> None:
    for split in ("train", "val"):
        add_yolo(root / "images" / split, root / "labels" / split)
    yaml_of(root, "path: ../datasets/cells\ntrain: images/train\nval: images/val\ntest:\n")


def yolo_of_roboflow(root: Path) -> None:
    for split in ("train", "valid", "test"):
        add_yolo(root / split / "images", root / split / "labels")
    names = ", ".join(f"'{name}'" for name in CLASSES)
    folders = "".join(f"{key}: ../{folder}/images\n" for key, folder in (("train", "train"), ("val", "valid")))
    add_text(root / "data.yaml", f"{folders}test: ../test/images\nnc: 3\nnames: [{names}]\nroboflow:\n  license: MIT\n")


def yolo_of_cvat(root: Path) -> None:
    add_yolo(root / "obj_train_data", root / "obj_train_data")
    add_text(root / "obj.names", "".join(f"{name}\n" for name in CLASSES))
    add_text(root / "obj.data", "classes = 3\ntrain = data/train.txt\nnames = data/obj.names\nbackup = backup/\n")
    add_text(root / "train.txt", "".join(f"data/obj_train_data/{name}{SUFFIXES[name]}\n" for name in OBJECTS))


def yolo_of_cvat_for_ultralytics(root: Path) -> None:
    add_yolo(root / "images" / "train", root / "labels" / "train")
    yaml_of(root, "path: .\ntrain: train.txt\n")
    add_text(root / "train.txt", "".join(f"data/images/train/{name}{SUFFIXES[name]}\n" for name in OBJECTS))


def yolo_of_labelimg(root: Path) -> None:
    add_yolo(root, root)
    add_text(root / "classes.txt", "".join(f"{name}\n" for name in CLASSES))


def yolo_in_two_folders(root: Path) -> None:
    add_yolo(root / "images", root / "labels", ("a/one", "a/two", "b/none"))
    add_text(root / "labels" / "classes.txt", "\n".join(CLASSES))


SPLIT: Sequence[Callable[[Path], None]] = (
    voc_of_roboflow,
    voc_divided,
    coco_of_roboflow,
    coco_of_other_names,
    yolo_of_ultralytics,
    yolo_of_roboflow,
)
"""Layouts with the same three images in each split."""

WHOLE: Sequence[Callable[[Path], None]] = (
    voc_of_labelimg,
    voc_beside,
    voc_nested,
    voc_without_lists,
    voc_of_cvat,
    coco_alone,
    coco_beside,
    coco_of_cvat,
    yolo_of_cvat,
    yolo_of_cvat_for_ultralytics,
    yolo_of_labelimg,
    yolo_in_two_folders,
)
"""Layouts that do not say which images are for what."""
