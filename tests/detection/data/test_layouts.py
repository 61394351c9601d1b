"""Each layout becomes data sets with the images and the boxes that were written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PurePath
from typing import Any

import pytest
from mmdet.registry import DATASETS
from mmengine.registry import DefaultScope

from opanas_cli.detection.configs.data_checks import check_data
from opanas_cli.detection.configs.files import load_config
from opanas_cli.detection.data.layouts import recognised
from opanas_cli.errors import InvalidDataError
from tests.detection.data.made_layouts import CLASSES, HEIGHT, OBJECTS, SPLIT, SUFFIXES, WHOLE, WIDTH

Make = Callable[[Path], None]


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


def written(stem: str) -> Any:
    boxes = [(name, tuple(pytest.approx(side) for side in box)) for name, box in OBJECTS[stem]]
    return SUFFIXES[stem], (WIDTH, HEIGHT), boxes


@pytest.mark.parametrize("make", SPLIT)
def test_layouts_with_splits(make: Make, tmp_path: Path) -> None:
    make(tmp_path)
    config = config_of(tmp_path)
    assert set(config.classes) == set(CLASSES)
    # Images without objects are tested on, and not trained on.
    assert images_in(config, "train") == {stem: written(stem) for stem in ("one", "two")}
    for split in ("val", "test"):
        assert images_in(config, split) == {stem: written(stem) for stem in OBJECTS}
    check_data(config, ["train", "val", "test"], pytest.fail)
