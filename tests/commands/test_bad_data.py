"""Data sets that are broken, and odd ones that must work, through the command line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from opanas_cli.commands import run

Refused = Callable[..., str]


@pytest.fixture
def data(shapes_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the shapes that may be broken."""
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(shapes_root, tmp_path / "data"))


@pytest.fixture
def arguments(tiny_options: tuple[str, ...], data: Path) -> tuple[str, ...]:
    options = ("--work-dir", "run", "--device", "cpu", "--cfg-options", *tiny_options, f"data_root={data}")
    return ("train-supernet", "shapes", *options)


def edit(data: Path, change: Callable[[dict[str, Any]], Any], split: str = "train") -> Path:
    path = data / "annotations" / f"{split}.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    return path


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no such image"),
        (b"", "is not a readable image"),
        (b"hello", "is not a readable image"),
        (0.5, "is truncated"),
        (0.99, "is truncated"),
    ],
)
def test_broken_images(content: bytes | float | None, said: str, data: Path, arguments: Any, refused: Refused) -> None:
    path = data / "train" / "000003.png"
    whole = path.read_bytes()
    path.unlink()
    if content is not None:
        path.write_bytes(whole[: int(len(whole) * content)] if isinstance(content, float) else content)
    line = refused(3, *arguments)
    assert line.startswith(f"{path}: {said}")
    assert "remove it from " in line
    assert not Path("run").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read (No such file or directory); is data_root"),
        ('{"images": [', "is not valid JSON: "),
        ("", "is not valid JSON: "),
        ("[1]", "must be a JSON object with images, annotations and categories"),
        ("{}", "has no list 'images'"),
        ("[" * 100_000, "is not valid JSON"),
    ],
)
def test_broken_annotation_files(content: str | None, said: str, data: Path, arguments: Any, refused: Refused) -> None:
    path = data / "annotations" / "train.json"
    path.unlink()
    if content is not None:
        path.write_text(content)
    line = refused(3, *arguments)
    assert line.startswith(f"{path}: {said}")
    assert not Path("run").exists()


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("annotations", [], "has no annotations; a detector needs objects"),
        ("annotations", None, "has no list 'annotations'"),
        ("images", [], "lists no image"),
        ("categories", [], "annotations[0].category_id: "),
        ("images", [5], "images[0]: must be a JSON object, but got 5"),
    ],
)
def test_annotation_files_without(
    key: str, value: Any, said: str, data: Path, arguments: Any, refused: Refused
) -> None:
    path = edit(data, lambda document: document.update({key: value}))
    assert refused(3, *arguments).startswith(f"{path}: {said}")


@pytest.mark.parametrize("split", ["train", "test"])
def test_both_splits_of_a_retraining_are_looked_at(
    split: str, data: Path, tiny_options: tuple[str, ...], refused: Refused
) -> None:
    path = edit(data, lambda document: document.update(annotations=[]), "train" if split == "train" else "val")
    arguments = ("retrain", "shapes", "--genotype", "top-down", "--work-dir", "run", "--device", "cpu")
    line = refused(3, *arguments, "--cfg-options", *tiny_options, f"data_root={data}")
    assert line.startswith(f"{path}: has no annotations")
    assert not Path("run").exists()


def test_odd_boxes_are_left_out_with_one_line(data: Path, arguments: Any, capsys: pytest.CaptureFixture[str]) -> None:
    def change(document: dict[str, Any]) -> None:
        boxes = [[10, 10, 0, 5], [10, 10, 5, 0], [500, 500, 9, 9], [100, 100, 90, 90], [-20, -20, 60, 60]]
        for annotation, box in zip(document["annotations"], boxes, strict=False):
            annotation.update(bbox=box, area=box[2] * box[3])

    path = edit(data, change)
    assert run([*arguments, "--json"]) == 0
    out, err = capsys.readouterr()
    warnings = [line for line in err.splitlines() if "warning" in line]
    assert warnings == [f"opanas: warning: {path}: ignoring boxes with no area inside the image: 3"]
    assert np.isfinite(json.loads(out)["loss_at_end"])


def test_a_box_outside_of_an_image_that_is_smaller_than_stated(data: Path, arguments: Any, refused: Refused) -> None:
    def change(document: dict[str, Any]) -> None:
        image = document["images"][0]
        image.update(width=1000, height=1000)
        box = next(box for box in document["annotations"] if box["image_id"] == image["id"])
        box.update(bbox=[600, 600, 40, 40], area=1600)

    path = edit(data, change)
    line = refused(3, *arguments)
    assert "but a box begins outside of it, at x=600 or y=600; correct the box and the size of the image in " in line
    assert line.endswith(str(path))
    assert not Path("run").exists()


def test_ids_with_gaps_in_another_order(data: Path, arguments: Any, capsys: pytest.CaptureFixture[str]) -> None:
    ids = {1: 70, 2: 7, 3: 900}

    def change(document: dict[str, Any]) -> None:
        for category in document["categories"]:
            category["id"] = ids[category["id"]]
        for annotation in document["annotations"]:
            annotation["category_id"] = ids[annotation["category_id"]]

    edit(data, change)
    assert run([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["steps"] > 0


@pytest.fixture
def voc(voc_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder, from beside which commands are run."""
    monkeypatch.chdir(tmp_path)
    return voc_root


def of_voc(root: Path, tiny_options: tuple[str, ...], *options: str) -> tuple[str, ...]:
    """The command that trains the tiny super-net on a VOC folder of one's own."""
    tiny = [option for option in tiny_options if not option.startswith("data_root=")]
    small = ("model.backbone.depth=18", "model.backbone.init_cfg=None", "model.neck.in_channels=[64,128,256,512]")
    loading = ("train_dataloader.num_workers=0", "supernet.epochs=1", "supernet.milestones=[]")
    return (
        *("train-supernet", "custom", "--work-dir", "run", "--device", "cpu", "--cfg-options", *tiny, *small),
        *(*loading, f"data_root={root}", *options),
    )


def test_retraining_reports_the_metric_of_voc(
    voc: Path, tiny_options: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    _, *options = of_voc(voc, tiny_options)
    assert run(["retrain", *options, "--genotype", "top-down", "--json"]) == 0
    assert "VOC_AP50" in json.loads(capsys.readouterr().out)["metrics"]


def test_a_voc_folder_with_odd_images(
    voc: Path, tiny_options: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = sorted((voc / "JPEGImages").iterdir())
    Image.open(pictures[0]).convert("L").save(pictures[0])
    Image.open(pictures[1]).convert("RGBA").save(pictures[1], format="PNG")
    Image.fromarray(np.full((128, 128), 40_000, dtype=np.uint16)).save(pictures[2], format="PNG")
    Image.open(pictures[3]).convert("P").save(pictures[3], format="PNG")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (128, 64)).save(pictures[4], exif=exif)
    assert run([*of_voc(voc, tiny_options, "supernet.search_split=0.0"), "--json"]) == 0
    out, err = capsys.readouterr()
    assert np.isfinite(json.loads(out)["loss_at_end"])
    (warning,) = (line for line in err.splitlines() if "warning" in line)
    assert "1 image differs in size from the annotations" in warning
    assert "is 64×128 and not 128×128" in warning


XML = "<annotation><object>{}</object></annotation>"
BOX = "<bndbox><xmin>{}</xmin><ymin>2</ymin><xmax>30</xmax><ymax>40</ymax></bndbox>"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("<annotation><object>", "is not valid XML: "),
        ("", "is not valid XML: "),
        (XML.format("<name>disk</name>"), "object[0]: bndbox needs the numbers xmin, "),
        (XML.format("<name>disk</name>" + BOX.format("one")), "object[0]: bndbox needs the numbers"),
        (
            XML.format("<name>disk</name>" + BOX.format("nan")),
            "object[0]: xmin, ymin, xmax, ymax must be finite numbers",
        ),
        (XML.format(BOX.format(1)), "object[0]: has no name"),
        (XML.format("<name/>" + BOX.format(1)), "object[0]: has no name"),
        (
            XML.format("<name>disk</name><difficult>maybe</difficult>" + BOX.format(1)),
            "object[0]: difficult must be 0 or 1",
        ),
        (
            "<annotation><size><width>9</width></size></annotation>",
            "size: width and height must be whole numbers",
        ),
        (None, "cannot be read (No such file or directory)"),
    ],
)
def test_broken_xml(content: str | None, said: str, voc: Path, tiny_options: tuple[str, ...], refused: Refused) -> None:
    path = voc / "Annotations" / "000002.xml"
    path.unlink()
    if content is not None:
        path.write_text(content)
    line = refused(3, *of_voc(voc, tiny_options, "classes=disk,square,triangle"))
    assert line.startswith(f"{path}: {said}")
    assert not Path("run").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "lists no image"),
        (b"000001\n\n", "line 2: must be just the name of an image, but got ''"),
        (b"000001 \n", "line 1: must be just the name of an image, but got '000001 '"),
        (b"\xff\xfe\n", "is not UTF-8 text"),
    ],
)
def test_broken_split_files(
    content: bytes, said: str, voc: Path, tiny_options: tuple[str, ...], refused: Refused
) -> None:
    path = voc / "ImageSets" / "Main" / "train.txt"
    path.write_bytes(content)
    line = refused(3, *of_voc(voc, tiny_options, "classes=disk,square,triangle"))
    assert line.startswith(f"{path}: {said}")


def test_classes_that_no_annotation_names(voc: Path, tiny_options: tuple[str, ...], refused: Refused) -> None:
    line = refused(3, *of_voc(voc, tiny_options, "classes=disk,squares"))
    assert "no training object has class 'squares', which the config's classes name; the objects have disk, " in line
    line = refused(3, *of_voc(voc, tiny_options, "classes=cat"))
    assert "no object has one of the config's classes (cat); the objects have " in line


def test_images_of_any_suffix_in_a_voc_folder(
    voc: Path, tiny_options: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    paths = sorted((voc / "JPEGImages").iterdir())
    for path, suffix in zip(paths, (".png", ".jpeg", ".JPG", ".bmp", ".PNG", ".tif"), strict=False):
        image = Image.open(path).copy()
        path.unlink()
        image.save(path.with_suffix(suffix))
    assert run([*of_voc(voc, tiny_options), "--json"]) == 0
    out, err = capsys.readouterr()
    assert np.isfinite(json.loads(out)["loss_at_end"])
    assert "warning" not in err


def test_no_image_in_a_voc_folder(voc: Path, tiny_options: tuple[str, ...], refused: Refused) -> None:
    path = voc / "JPEGImages" / "000002.jpg"
    path.rename(path.with_suffix(".gif"))
    assert refused(3, *of_voc(voc, tiny_options)).startswith(f"{path}: no such image (but 000002.gif exists")


def test_a_stand_alone_config_needs_jpg_images(
    voc: Path, tiny_options: tuple[str, ...], tmp_path: Path, refused: Refused
) -> None:
    command = ("export", "opa-fpn", "--to", "mmdet-config", "--dataset", "custom", "--standalone", "-o", "w.py", "-q")
    assert run([*command, "--cfg-options", f"data_root={voc}"]) == 0
    text = (tmp_path / "w.py").read_text()
    assert text.count("type='XMLDataset'") == 3
    assert "VOCFolder" not in text
    (tmp_path / "w.py").unlink()
    path = voc / "JPEGImages" / "000002.jpg"
    path.rename(path.with_suffix(".png"))
    line = refused(3, *command, "--cfg-options", f"data_root={voc}")
    assert line.startswith(f"{path.with_suffix('.png')}: mmdet alone reads the images of a VOC folder as .jpg only, ")
    assert "and 1 are not" in line
    assert not (tmp_path / "w.py").exists()
    assert run([*(part for part in command if part != "--standalone"), "--cfg-options", f"data_root={voc}"]) == 0
    assert (tmp_path / "w.py").read_text().count("type='VOCFolder'") == 3


def test_coco_categories_in_two_orders(
    data: Path, tiny_options: tuple[str, ...], tmp_path: Path, refused: Refused
) -> None:
    edit(data, lambda document: document["categories"].reverse(), "val")
    path = data / "annotations" / "val.json"
    command = ("retrain", "custom", "--genotype", "top-down", "--work-dir", "run", "--device", "cpu")
    for classes in ([], ["classes=disk,square,triangle"], ["classes=triangle,square,disk"]):
        line = refused(3, *command, "--cfg-options", f"data_root={data}", *classes)
        assert line.startswith(f"{path}: its categories come in the order ")
        assert "use one order in all annotation files and in `classes`" in line


def test_an_empty_voc_split_and_a_missing_one(voc: Path, tiny_options: tuple[str, ...], refused: Refused) -> None:
    (voc / "ImageSets" / "Main" / "train.txt").unlink()
    assert "has a split 'val' but no 'train'; add it" in refused(3, *of_voc(voc, tiny_options))
