"""Each layout becomes data sets with the images and the boxes that were written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path, PurePath
from typing import Any

import pytest
from made_layouts import (
    CLASSES,
    HEIGHT,
    OBJECTS,
    SPLIT,
    SUFFIXES,
    WHOLE,
    WIDTH,
    add_coco,
    add_image,
    add_text,
    add_voc,
    add_yolo,
    coco_alone,
    coco_of_roboflow,
    voc_of_cvat,
    voc_of_labelimg,
    yaml_of,
    yolo_of_labelimg,
    yolo_of_roboflow,
)
from mmdet.registry import DATASETS
from mmengine.registry import DefaultScope
from PIL import Image

from opanas_cli.commands import run
from opanas_cli.detection.checkpoints import fingerprint
from opanas_cli.detection.configs.data_checks import check_data
from opanas_cli.detection.configs.files import load_config
from opanas_cli.detection.configs.other_data import on_data_of
from opanas_cli.detection.data.annotation_files import annotation_files, forget_coco, images_without_list
from opanas_cli.detection.data.layouts import recognised
from opanas_cli.errors import InvalidConfigError, InvalidDataError

Make = Callable[[Path], None]

ONE_EACH = "split=0.57,0.1,0.33"
"""The hash of `one` is 0.563, that of `none` 0.577 and that of `two` 0.957: one image comes into each split."""


def config_of(root: Path, *options: str) -> Any:
    return load_config("custom-small", (f"data_root={root}", *options))


def images_in(config: Any, split: str) -> dict[str, Any]:
    """What mmdet loads of a split: by the stem of each image its suffix, its size and its objects."""
    with DefaultScope.overwrite_default_scope("mmdet"):
        dataset = DATASETS.build({**config[f"{split}_dataloader"].dataset, "pipeline": []})
    classes = dataset.metainfo["classes"]
    found = {}
    for info in map(dataset.get_data_info, range(len(dataset))):
        assert Path(info["img_path"]).is_file()
        path = PurePath(info["img_path"])
        boxes = [(classes[one["bbox_label"]], tuple(one["bbox"])) for one in info["instances"]]
        found[path.stem] = (path.suffix, (info["width"], info["height"]), boxes)
    return found


def written(stem: str, classes: Any = CLASSES) -> Any:
    boxes = [(name, tuple(pytest.approx(side) for side in box)) for name, box in OBJECTS[stem] if name in classes]
    return SUFFIXES[stem], (WIDTH, HEIGHT), boxes


@pytest.mark.parametrize("make", SPLIT)
def test_layouts_with_splits(make: Make, tmp_path: Path) -> None:
    make(tmp_path)
    config = config_of(tmp_path)
    assert sorted(config.classes) == sorted(CLASSES)
    # Images without objects are tested on, and not trained on.
    assert images_in(config, "train") == {stem: written(stem) for stem in ("one", "two")}
    for split in ("val", "test"):
        assert images_in(config, split) == {stem: written(stem) for stem in OBJECTS}
    check_data(config, ["train", "val", "test"], pytest.fail)


@pytest.mark.parametrize("make", WHOLE)
def test_layouts_without_splits(make: Make, tmp_path: Path) -> None:
    make(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    config = config_of(tmp_path, ONE_EACH)
    # Files that declare classes declare all of them; otherwise they are those of the training images.
    classes = sorted(CLASSES) if config.train_dataloader.dataset.type != "VOCFolder" else ["7", "red cell"]
    assert sorted(config.classes) == classes
    for split, stem in (("train", "one"), ("val", "none"), ("test", "two")):
        assert images_in(config, split) == {stem: written(stem, classes)}
    said: list[str] = []
    check_data(config, ["train"], pytest.fail, said.append)
    assert said[0] == (
        f"{tmp_path}: no splits found: each image is put into one by a hash of its name (train 0.57, val 0.1, test "
        "0.33; setting `split`)"
    )
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_classes_with_odd_names_are_chosen_by_the_setting(tmp_path: Path) -> None:
    yolo_of_roboflow(tmp_path)
    config = config_of(tmp_path, "classes=größe,red cell")
    assert config.classes == ("red cell", "größe")
    assert images_in(config, "test")["one"] == written("one", config.classes)


@pytest.mark.parametrize("used", [False, True])
def test_the_heading_of_roboflows_categories_is_no_class_unless_objects_have_it(used: bool, tmp_path: Path) -> None:
    coco_of_roboflow(tmp_path)
    path = tmp_path / "train" / "_annotations.coco.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    document["annotations"][0]["category_id"] = 0 if used else 1
    path.write_text(json.dumps(document), encoding="utf-8")
    assert config_of(tmp_path).classes == (("cells-1", *CLASSES) if used else CLASSES)


def test_a_training_split_alone_is_divided(tmp_path: Path) -> None:
    for make, folders in ((coco_of_roboflow, ("valid", "test")), (yolo_of_roboflow, ("valid", "test"))):
        root = tmp_path / make.__name__
        make(root)
        for folder in folders:
            shutil.rmtree(root / folder)
        config = config_of(root, ONE_EACH)
        assert list(images_in(config, "train")) == ["one"]
        assert list(images_in(config, "test")) == ["two"]


def test_a_yolo_file_that_names_the_training_images_again_has_no_other_split(tmp_path: Path) -> None:
    add_yolo(tmp_path / "images", tmp_path / "labels")
    yaml_of(tmp_path, "train: images\nval: images\ntest: images\n")
    config = config_of(tmp_path, ONE_EACH)
    assert [list(images_in(config, split)) for split in ("train", "val", "test")] == [["one"], ["none"], ["two"]]


def test_a_fraction_of_nothing_has_no_split(tmp_path: Path) -> None:
    yolo_of_labelimg(tmp_path)
    config = config_of(tmp_path, "split=0.6,0.4,0")
    assert images_in(config, "test") == images_in(config, "val") == {"two": written("two")}


def test_frames_stay_with_their_videos(tmp_path: Path) -> None:
    for video in range(12):
        for frame in range(6):
            name = add_image(tmp_path / "images" / str(video), "one")
            path = tmp_path / "images" / str(video) / name
            path.rename(path.with_name(f"frame_{frame:04d}.jpg"))
            add_text(tmp_path / "labels" / str(video) / f"frame_{frame:04d}.txt", "0 0.5 0.5 0.5 0.5\n")
    add_text(tmp_path / "classes.txt", "car\n")
    options = ("split=0.5,0.25,0.25", "split=0.5,0.25,0.25,file")
    parts = {}
    for option in options:
        config = config_of(tmp_path, option)
        for split in ("train", "val", "test"):
            with DefaultScope.overwrite_default_scope("mmdet"):
                dataset = DATASETS.build({**config[f"{split}_dataloader"].dataset, "pipeline": []})
            paths = [PurePath(dataset.get_data_info(index)["img_path"]) for index in range(len(dataset))]
            parts[option, split] = {(path.parent.name, path.stem) for path in paths}
        assert sum(len(parts[option, split]) for split in ("train", "val", "test")) == 12 * 6
    by_folder, by_file = ({video for video, _ in parts[option, "train"]} for option in options)
    assert len(parts[options[0], "train"]) == 6 * len(by_folder)
    assert 0 < len(by_folder) < 12
    assert len(by_file) == 12
    assert config_of(tmp_path).train_dataloader.dataset.part.by == "folder"
    voc_of_labelimg(tmp_path / "few")
    assert config_of(tmp_path / "few").train_dataloader.dataset.part.by == "file"
    told = config_of(tmp_path / "few", "supernet.split_by=folder")
    assert told.train_dataloader.dataset.part.by == "folder"


@pytest.mark.parametrize(
    "split", ["1", "0.5,0.5", "0.8,0.1,0.2", "0,0.5,0.5", "1,0,0", "0.8,0.1,0.1,video", "a,b,c", "-1,1,1", "1,1,-1"]
)
def test_splits_that_are_none(split: str, tmp_path: Path) -> None:
    voc_of_labelimg(tmp_path)
    with pytest.raises(InvalidConfigError, match=r"custom-small\.py: split: must be the fractions of train, val and"):
        config_of(tmp_path, f"split={split}")


def test_a_part_without_images(tmp_path: Path) -> None:
    yolo_of_labelimg(tmp_path)
    config = config_of(tmp_path, "split=0.1,0.45,0.45")
    with pytest.raises(InvalidDataError, match="by the hash of its file's name no image is in the train part; add "):
        check_data(config, ["train"], print)


@pytest.mark.parametrize("make", [voc_of_labelimg, voc_of_cvat, coco_alone, yolo_of_labelimg])
def test_fingerprints_tell_which_images_there_are(make: Make, tmp_path: Path) -> None:
    def prints(*options: str) -> str:
        forget_coco()
        dataset = config_of(tmp_path, *options).train_dataloader.dataset
        return fingerprint(*annotation_files(dataset), names=images_without_list(dataset))

    make(tmp_path)
    found = prints("split=0.8,0.1,0.1")
    assert prints("split=0.8,0.1,0.1") == found
    assert prints("split=0.57,0.1,0.33") != found
    # Without a label, and so without a file that changes.
    add_image(tmp_path, "new/one")
    assert (prints("split=0.8,0.1,0.1") != found) == (make is yolo_of_labelimg)


def test_a_label_file_of_another_image_changes_the_fingerprint(tmp_path: Path) -> None:
    yolo_of_labelimg(tmp_path)
    dataset = config_of(tmp_path).train_dataloader.dataset
    dataset.pop("part")
    label = next(path for path in annotation_files(dataset)[1:] if path.read_text().strip())
    Image.new("RGB", (9, 9)).save(label.with_name("new.png"))
    before = fingerprint(*annotation_files(dataset), names=images_without_list(dataset))
    label.rename(label.with_name("new.txt"))
    assert fingerprint(*annotation_files(dataset), names=images_without_list(dataset)) != before


def test_two_layouts_in_one_folder(tmp_path: Path) -> None:
    """COCO's files say most and come first, then XML."""
    add_yolo(tmp_path / "images", tmp_path / "labels")
    yaml_of(tmp_path, "")
    assert recognised(tmp_path).name == "YOLO"
    add_voc(tmp_path / "images", tmp_path / "annotations")
    assert recognised(tmp_path).name == "XML"
    add_coco(tmp_path / "images", tmp_path / "all.json")
    assert recognised(tmp_path).name == "COCO"


def test_one_json_file_for_each_image_is_none_of_coco(tmp_path: Path) -> None:
    voc_of_labelimg(tmp_path)
    for index in range(30):
        add_text(tmp_path / f"{index}.json", json.dumps({"shapes": []}))
    assert recognised(tmp_path).name == "XML"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda root: None, "is in no known layout: there are neither annotations in COCO's JSON, nor XML files"),
        (lambda root: add_yolo(root / "images", root / "labels"), "but nothing names their classes; add data.yaml, or"),
        (lambda root: [coco_alone(root), add_text(root / "b.json", (root / "result.json").read_text())], "two COCO f"),
        (lambda root: [yaml_of(root, "train: [a, b]\n"), add_yolo(root, root)], "train must be one folder of images, "),
        (
            lambda root: [add_yolo(root, root), yaml_of(root, ""), add_text(root / "b.yml", "names: [a]\n")],
            r"data\.yaml: names classes, but so does b\.yml; leave one of them",
        ),
        (lambda root: add_coco(root / "images" / "val", root / "val.json"), "has a split 'val' but no 'train'; add it"),
    ],
)
def test_folders_that_cannot_be_used(change: Make, said: str, tmp_path: Path) -> None:
    change(tmp_path)
    with pytest.raises(InvalidDataError, match=said):
        config_of(tmp_path)


def test_voc_2007_has_images_to_train_and_validate_on_in_one_list(tmp_path: Path) -> None:
    voc_of_cvat(tmp_path)
    lists = tmp_path / "ImageSets" / "Main"
    (lists / "default.txt").unlink()
    for name, stem in (("trainval", "one"), ("test", "two")):
        (lists / f"{name}.txt").write_text(f"{stem}\n")
    config = config_of(tmp_path)
    assert list(images_in(config, "train")) == ["one"]
    assert list(images_in(config, "val")) == list(images_in(config, "test")) == ["two"]


@pytest.mark.parametrize("line", ["data/images//etc/one.jpg", "data/images/../one.jpg", "elsewhere/one.jpg"])
def test_lists_that_lead_out_of_the_folder(line: str, tmp_path: Path) -> None:
    add_yolo(tmp_path / "images", tmp_path / "labels")
    yaml_of(tmp_path, "train: train.txt\n")
    add_text(tmp_path / "train.txt", f"data/images/one.jpg\n{line}\n")
    with pytest.raises(InvalidDataError, match=r"train\.txt: line 2: .* is not in .*images; list paths in it"):
        config_of(tmp_path)


@pytest.mark.parametrize("make", [yolo_of_roboflow, coco_alone, voc_of_labelimg])
def test_exported_configs_have_the_same_images(make: Make, tmp_path: Path) -> None:
    make(tmp_path / "data")
    command = ["export", "opa-fpn", "--to", "mmdet-config", "--dataset", "custom-small", "-q"]
    options = ["--cfg-options", f"data_root={tmp_path / 'data'}", ONE_EACH]
    assert run([*command, "-o", str(tmp_path / "winner.py"), *options]) == 0
    config = load_config(str(tmp_path / "winner.py"))
    assert "split" not in config
    for split in ("train", "test"):
        assert images_in(config, split) == images_in(config_of(tmp_path / "data", ONE_EACH), split)
    # mmdet alone has no such data sets.
    assert run([*command, "--standalone", "-o", str(tmp_path / "alone.py"), *options]) == 3
    assert not (tmp_path / "alone.py").exists()


@pytest.mark.parametrize("make", [yolo_of_roboflow, voc_of_labelimg])
def test_detectors_that_learn_masks_need_other_annotations(make: Make, tmp_path: Path) -> None:
    make(tmp_path)
    with pytest.raises(InvalidDataError, match=r"has boxes only, but .* learns masks"):
        on_data_of(load_config("mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco"), config_of(tmp_path))
