"""The generated data set."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np

from opanas_cli.detection.data.shapes import CLASSES, IMAGE_SIZE, MAX_OBJECTS, draw_image, generate_shapes


def digest(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_the_same_seed_gives_the_same_files_and_another_others(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        generate_shapes(tmp_path / name, 3, 2, seed)
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    assert digest(tmp_path / "a")["train/000001.png"] != digest(tmp_path / "c")["train/000001.png"]
    assert len(digest(tmp_path / "a")) == 7


def test_training_and_validation_images_differ(shapes_root: Path) -> None:
    hashes = digest(shapes_root)
    train = {value for name, value in hashes.items() if name.startswith("train/")}
    val = {value for name, value in hashes.items() if name.startswith("val/")}
    assert (len(train), len(val)) == (12, 6)
    assert not train & val


def test_what_is_there_is_left_alone_unless_it_is_other_data(tmp_path: Path) -> None:
    generate_shapes(tmp_path, 2, 1)
    path = tmp_path / "train" / "000001.png"
    path.write_bytes(b"mine")
    generate_shapes(tmp_path, 2, 1)
    assert path.read_bytes() == b"mine"
    generate_shapes(tmp_path, 2, 1, seed=5)
    assert path.read_bytes() != b"mine"


def test_annotations(shapes_root: Path) -> None:
    document = json.loads((shapes_root / "annotations" / "train.json").read_text())
    assert [category["name"] for category in document["categories"]] == list(CLASSES)
    assert len({annotation["id"] for annotation in document["annotations"]}) == len(document["annotations"])
    for annotation in document["annotations"]:
        x, y, width, height = annotation["bbox"]
        assert 5.99 <= width <= 100.01
        assert 5.99 <= height <= 100.01
        assert min(x, y) >= 0
        assert max(x + width, y + height) <= IMAGE_SIZE
        assert annotation["area"] == width * height


def test_sizes_reach_from_small_to_large() -> None:
    rng = np.random.default_rng(0)
    drawn = [draw_image(rng) for _ in range(60)]
    assert all(pixels.shape == (IMAGE_SIZE, IMAGE_SIZE, 3) and pixels.dtype == np.uint8 for pixels, _ in drawn)
    assert all(1 <= len(objects) <= MAX_OBJECTS for _, objects in drawn)
    sides = [box[2] - box[0] for _, objects in drawn for _, box in objects]
    assert min(sides) < 10
    assert max(sides) > 70
    assert {label for _, objects in drawn for label, _ in objects} == {0, 1, 2}
