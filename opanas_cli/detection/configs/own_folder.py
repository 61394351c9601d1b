"""A user's own images: finds out whether a folder is laid out like VOC or like COCO, and which classes it has."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict

from opanas_cli.detection.configs.parts import DATALOADERS, as_classes, set_classes
from opanas_cli.detection.data.annotation_files import is_voc, read_coco, voc_objects
from opanas_cli.errors import InvalidConfigError, InvalidDataError
from opanas_cli.regular_files import require_regular

COCO_ANNOTATIONS = (
    "annotations/{split}.json",
    "annotations/instances_{split}.json",
    "annotations/instances_{split}2017.json",
    "{split}/_annotations.coco.json",
)
COCO_IMAGES = ("{split}", "{split}2017", "images/{split}", "images", "")

FALLBACKS = {"test": ("test", "val", "valid"), "val": ("val", "valid", "test"), "train": ("train",)}


def resolve_own_folders(config: Config) -> None:
    """Turn every `OwnFolder` data set of a config into a `VOCFolder` or mmdet's `CocoDataset`, and count the classes.

    Raises InvalidConfigError if `data_root` is not set, InvalidDataError if the folder is missing, has no known layout,
    or lacks a split.
    """
    datasets = [(config.get(name) or {}).get("dataset") or {} for name in DATALOADERS]
    own = [dataset for dataset in datasets if dataset.get("type") == "OwnFolder"]
    if not own:
        return
    for split in (dataset.get("split") for dataset in own):
        if split not in FALLBACKS:
            raise InvalidConfigError(
                f"{config.filename}: an OwnFolder must have split='train', 'val' or 'test', but got {split!r:.40}"
            )
    root = _existing_root(own[0].get("data_root") or config.get("data_root"), config.filename)
    resolve = (
        _voc_dataset if (root / "Annotations").is_dir() and (root / "ImageSets" / "Main").is_dir() else _coco_dataset
    )
    resolved = [resolve(root, dataset) for dataset in own]
    asked = config.get("classes")
    classes = _class_names(resolved[0], None if asked is None else as_classes(asked))
    for dataset, found in zip(own, resolved, strict=True):
        pipeline = dataset.get("pipeline")
        mode = dict(filter_cfg=dict(filter_empty_gt=True)) if dataset["split"] == "train" else dict(test_mode=True)
        dataset.clear()
        dataset.update(ConfigDict(found, pipeline=pipeline, **mode))
    set_classes(config, classes)


def _existing_root(data_root: Any, config_name: str) -> Path:
    if not data_root:
        raise InvalidConfigError(
            f"{config_name}: data_root is not set; add --cfg-options data_root=/path/to/your/folder"
        )
    root = Path(str(data_root))
    if not root.is_dir():
        raise InvalidDataError(f"{root}: no such folder; set data_root to the folder of your data set")
    return root


def _voc_dataset(root: Path, dataset: Any) -> dict[str, Any]:
    for split in FALLBACKS[dataset["split"]]:
        ann_file = f"ImageSets/Main/{split}.txt"
        if (root / ann_file).is_file():
            # mmdet joins sub_data_root to data_root; "." keeps the root itself.
            return dict(type="VOCFolder", data_root=str(root), ann_file=ann_file, data_prefix=dict(sub_data_root="."))
    raise InvalidDataError(f"{root}/ImageSets/Main: has no {dataset['split']}.txt, the names of that split's images")


def _coco_dataset(root: Path, dataset: Any) -> dict[str, Any]:
    for split in FALLBACKS[dataset["split"]]:
        for pattern in COCO_ANNOTATIONS:
            ann_file = pattern.format(split=split)
            if (root / ann_file).is_file():
                prefix = _image_folder(root, ann_file, split)
                return dict(type="CocoDataset", data_root=str(root), ann_file=ann_file, data_prefix=dict(img=prefix))
    raise InvalidDataError(
        f"{root}: is neither a VOC folder (Annotations/, ImageSets/Main/) nor a COCO folder with annotations of "
        f"'{dataset['split']}' (annotations/{dataset['split']}.json)"
    )


def _image_folder(root: Path, ann_file: str, split: str) -> str:
    images = read_coco(root / ann_file).get("images")
    first = images[0] if isinstance(images, list) and images else None
    if not isinstance(first, dict) or not isinstance(first.get("file_name"), str):
        raise InvalidDataError(f"{root / ann_file}: must list 'images', each with a file_name")
    name = first["file_name"]
    candidates = [pattern.format(split=split) for pattern in COCO_IMAGES]
    for folder in candidates:
        with suppress(OSError):
            require_regular(root / folder / name)
            return folder
    places = ", ".join(str(root / folder) for folder in candidates)
    raise InvalidDataError(f"{root / ann_file}: its first image '{name}' is in none of {places}")


def _class_names(dataset: dict[str, Any], wanted: tuple[str, ...] | None) -> tuple[str, ...]:
    """The classes of a data set config in the order of their labels: those wanted, or all that are annotated."""
    root = Path(dataset["data_root"])
    source = root / dataset["ann_file"]
    if is_voc(dataset):
        if wanted is not None:
            return wanted
        names = {str(name.text) for _, tree in voc_objects(root, source) for name in tree.findall("object/name")}
        if not names:
            raise InvalidDataError(f"{source}: its annotations name no object")
        return tuple(sorted(names))
    categories = read_coco(source).get("categories")
    entries = categories if isinstance(categories, list) else [None]
    named = [entry.get("name") if isinstance(entry, dict) else None for entry in entries]
    if not all(isinstance(name, str) for name in named):
        raise InvalidDataError(f"{source}: must have a list 'categories', each with an id and a name as text in quotes")
    missing = [name for name in wanted or () if name not in named]
    if missing:
        raise InvalidDataError(f"{source}: has no category '{missing[0]}'; its categories are {', '.join(named)}")
    # mmdet labels categories in the order of the file, whatever the order asked for.
    return tuple(name for name in named if wanted is None or name in wanted)
