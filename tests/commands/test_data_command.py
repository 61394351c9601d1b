"""What `opanas data` says of a folder, its files and its exit code; and training on the same folders."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from opanas_cli.commands import run

SMALL = (
    "model.backbone.depth=18",
    "model.backbone.init_cfg=None",
    "model.neck.in_channels=[64,128,256,512]",
    "train_dataloader.num_workers=0",
    "train_dataloader.persistent_workers=False",
)


@pytest.fixture
def yolo(shapes_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The training shapes as a YOLO folder without splits, from beside which commands are run."""
    monkeypatch.chdir(tmp_path)
    document = json.loads((shapes_root / "annotations" / "train.json").read_text())
    root = tmp_path / "yolo"
    (root / "images").mkdir(parents=True)
    (root / "labels").mkdir()
    for image in document["images"]:
        Image.open(shapes_root / "train" / image["file_name"]).save(root / "images" / image["file_name"])
        lines = ""
        for one in document["annotations"]:
            if one["image_id"] == image["id"]:
                x, y, width, height = (side / 128 for side in one["bbox"])
                lines += f"{one['category_id'] - 1} {x + width / 2} {y + height / 2} {width} {height}\n"
        (root / "labels" / image["file_name"]).with_suffix(".txt").write_text(lines)
    names = [category["name"] for category in document["categories"]]
    (root / "data.yaml").write_text(f"names: [{', '.join(names)}]\n")
    return root


def told(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, Any]:
    capsys.readouterr()
    code = run(["data", *map(str, arguments), "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_what_a_folder_holds(shapes_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = told(capsys, shapes_root)
    assert (code, found["layout"], found["made"], found["unlisted"]) == (0, "COCO", None, 0)
    assert set(found["splits"]) == {"train", "val"}
    for split, own in found["splits"].items():
        document = json.loads((shapes_root / "annotations" / f"{split}.json").read_text())
        names = {category["id"]: category["name"] for category in document["categories"]}
        labels = [names[one["category_id"]] for one in document["annotations"]]
        assert own["images"] == len(document["images"])
        assert own["classes"] == {name: labels.count(name) for name in set(labels)}
        sides = sorted(math.sqrt(one["bbox"][2] * one["bbox"][3]) for one in document["annotations"])
        for name, part in (("smallest", 0.05), ("median", 0.5), ("largest", 0.95)):
            exact = sides[math.ceil(part * len(sides)) - 1]
            assert own["sides"][name] == pytest.approx(exact, rel=0.05)
        # Images of 128 pixels grow by 2.5 to fit into 320; a level is for twice the side of the one before.
        grown = [2.5 * side for side in sides]
        bounds = {"p2": (0, 112), "p3": (112, 224), "p4": (224, 448), "p5": (448, math.inf)}
        levels = {name: sum(low <= side < high for side in grown) for name, (low, high) in bounds.items()}
        assert own["levels"]["custom-small"] == levels
        assert own["below_stride"] == {"custom": 0, "custom-small": 0}


def test_levels_are_those_that_mmdet_takes() -> None:
    import torch
    from mmdet.models import SingleRoIExtractor

    from opanas_cli.detection.configs.box_sizes import Pyramid
    from opanas_cli.detection.configs.files import read_config

    pyramid = Pyramid.of(read_config("custom"), "custom")
    assert pyramid.levels == ["p2", "p3", "p4", "p5"]
    sides = np.geomspace(1, 2000, 500)
    extractor = SingleRoIExtractor(dict(type="RoIAlign", output_size=7), 8, list(pyramid.strides))
    rois = torch.tensor([[0, 0, 0, side, side] for side in sides])
    levels = extractor.map_roi_levels(rois, len(pyramid.strides))
    assert [pyramid.level_of(side) for side in sides] == [f"p{2 + int(level)}" for level in levels]
    # (1333, 800) would shrink a picture of 2000×1000 by 0.6665, (800, 500) by 0.4.
    assert pyramid.resized(100, (1000, 2000)) == pytest.approx(40)


def test_splits_that_are_made_and_written(yolo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from opanas_cli.detection.data.split_parts import split_of

    before = sorted(yolo.rglob("*"))
    code, found = told(capsys, yolo, "--split", "0.5,0.25,0.25", "--write-splits", "splits.tsv")
    assert code == 0
    assert found["made"].endswith("(train 0.5, val 0.25, test 0.25; setting `split`)")
    names = sorted(path.name for path in (yolo / "images").iterdir())
    expected = {split: [] for split in ("train", "val", "test")}
    for name in names:
        expected[split_of(name, (0.5, 0.25, 0.25), "file")].append(name)
    lines = "".join(f"{split}\timages/{name}\n" for split in expected for name in expected[split])
    assert Path("splits.tsv").read_text() == lines
    assert {split: own["images"] for split, own in found["splits"].items()} == {
        split: len(names) for split, names in expected.items()
    }
    assert sorted(yolo.rglob("*")) == before


def test_the_text_names_what_is_left_out(yolo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = sorted((yolo / "images").iterdir())
    labels = [yolo / "labels" / f"{image.stem}.txt" for image in images]
    labels[0].unlink()
    labels[1].write_text("")
    labels[2].write_text(labels[2].read_text() + "0 0.5 0.5 0.001 0.1\n")
    (yolo / "val.txt").write_text("".join(f"images/{image.name}\n" for image in images))
    (yolo / "data.yaml").write_text((yolo / "data.yaml").read_text() + "train: images\nval: val.txt\n")
    assert run(["data", str(yolo), "--classes", "disk"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "layout: YOLO"
    assert "train: images without objects, which are not trained on: 2" in lines
    assert f"train: {yolo / 'data.yaml'}: taking images without a label file to show no object: 1" in lines
    assert f"train: {yolo / 'data.yaml'}: ignoring boxes with no area inside the image: 1" in lines
    assert any("objects of classes not in the config (" in line for line in lines)
    assert [line.split()[0] for line in lines if line.startswith("  ") and "super-net" not in line][1:] == ["disk"]
    assert lines[-1] == "no problem found"


def test_images_that_nothing_annotates(voc_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (voc_root / "ImageSets" / "Main").iterdir():
        path.unlink()
    Image.new("RGB", (9, 9)).save(voc_root / "JPEGImages" / "unlabelled.png")
    code, found = told(capsys, voc_root, "--split", "0.5,0.25,0.25")
    assert (code, found["layout"], found["unlisted"]) == (0, "XML", 1)


def test_all_that_is_broken_is_named(yolo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = sorted((yolo / "images").iterdir())
    content = images[0].read_bytes()
    images[0].write_bytes(content[: len(content) // 2])
    images[1].write_bytes(b"")
    (yolo / "labels" / f"{images[2].stem}.txt").write_text("9 0.5 0.5 0.1 0.1\n")
    code, found = told(capsys, yolo, "--split", "0.5,0.25,0.25")
    problems = sorted(problem for own in found["splits"].values() for problem in own["problems"])
    assert code == 3
    assert len(problems) == 3
    assert [problem.partition(": ")[0] for problem in problems[:2]] == [str(path) for path in images[:2]]
    assert "truncated or damaged" in problems[0]
    assert "line 1: class 9 has no name; there are 3, from 0 on" in problems[2]
    for image in images:
        image.write_bytes(b"")
    code, found = told(capsys, yolo)
    assert code == 3
    assert sum(own["num_problems"] for own in found["splits"].values()) >= len(images)
    assert run(["data", str(yolo)]) == 3
    assert "training would refuse this: problems: " in capsys.readouterr().out


def test_images_of_two_splits_are_named(yolo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = sorted((yolo / "images").iterdir())
    for name, listed in (("train", images[:9]), ("val", images[6:])):
        (yolo / f"{name}.txt").write_text("".join(f"images/{image.name}\n" for image in listed))
    with (yolo / "data.yaml").open("a") as file:
        file.write("train: train.txt\nval: val.txt\n")
    _, found = told(capsys, yolo)
    assert "images that are trained on, so that AP is too high: 3" in found["splits"]["val"]["notes"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nowhere"], 3, "nowhere: no such folder; set data_root to the folder of your data set"),
        (["empty"], 3, "empty: is in no known layout"),
        (["yolo", "--split", "0.5,0.6"], 2, "--split: must be the fractions of train, val and test"),
        (["yolo", "--classes", "cat"], 3, "has no category 'cat'; its categories are "),
    ],
)
def test_folders_and_options_that_are_refused(
    arguments: list[str], code: int, said: str, yolo: Path, refused: Any
) -> None:
    Path("empty").mkdir()
    assert said in refused(code, "data", *arguments)


def test_the_contact_sheet_shows_the_boxes(yolo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for image in (yolo / "images").iterdir():
        Image.new("RGB", (128, 128)).save(image)
        (yolo / "labels" / f"{image.stem}.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    (yolo / "val.txt").write_text("".join(f"images/{image.name}\n" for image in (yolo / "images").iterdir()))
    (yolo / "data.yaml").write_text("names: ['größe 7']\ntrain: images\nval: val.txt\n")
    code, found = told(capsys, yolo, "--sheet", "sheet.png")
    assert (code, found["files"]) == (0, {"contact_sheet": "sheet.png"})
    with Image.open("sheet.png") as sheet:
        pixels = np.asarray(sheet)
    assert pixels.shape == (8 + 4 * (320 + 8 + 18), 8 + 4 * (320 + 8), 3)
    red = (pixels == [255, 51, 51]).all(axis=2)
    for row in range(4):
        for column in range(4):
            left, top = 8 + column * 328, 8 + 18 + row * 346
            own = red[top : top + 320, left : left + 320]
            # The frame, two pixels wide, of half of an image of 320 pixels; the name is in its left upper corner.
            assert list(np.flatnonzero(own[200])) == [80, 81, 239, 240]
            assert list(np.flatnonzero(own[:, 220])) == [80, 81, 239, 240]
            assert own[84:94, 84:130].mean() > 0.4


@pytest.mark.parametrize("layout", ["yolo", "labelimg"])
def test_the_first_steps_on_a_folder_without_splits(
    layout: str, yolo: Path, voc_root: Path, tiny_options: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    root = yolo
    if layout == "labelimg":
        root = voc_root
        (root / "Annotations").rename(root / "annotations")
        (root / "JPEGImages").rename(root / "images")
    options = (*tiny_options, *SMALL, f"data_root={root}", "split=0.7,0.2,0.1")
    command = ("train-supernet", "custom", "--work-dir", "run", "--device", "cpu", "--json", "--cfg-options", *options)
    assert run(command) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["steps"] > 0
    assert np.isfinite(json.loads(out)["loss_at_end"])
    (line,) = (line for line in err.splitlines() if "no splits found" in line)
    assert "(train 0.7, val 0.2, test 0.1; setting `split`)" in line
