"""A user's own images: finds out whether a folder is laid out like VOC or like COCO, and which classes it has."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from io import TextIOWrapper
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from mmengine.config import Config, ConfigDict

from opanas_cli.detection.configs.parts import as_classes, set_classes
from opanas_cli.errors import InvalidConfigError, InvalidDataError
from opanas_cli.regular_files import open_regular, read_regular, require_regular

COCO_ANNOTATIONS = (
    "annotations/{split}.json",
    "annotations/instances_{split}.json",
    "annotations/instances_{split}2017.json",
    "{split}/_annotations.coco.json",
)
COCO_IMAGES = ("{split}", "{split}2017", "images/{split}", "images", "")
MAX_COCO, MAX_XML, MAX_SPLIT = 16 << 30, 64 << 20, 256 << 20
"""The largest files that are read, in bytes."""

FALLBACKS = {"test": ("test", "val", "valid"), "val": ("val", "valid", "test"), "train": ("train",)}


def resolve_own_folders(config: Config) -> None:
    """Turn every `OwnFolder` data set of a config into a `VOCFolder` or mmdet's `CocoDataset`, and count the classes.

    Raises:
        InvalidConfigError: `data_root` is not set.
        InvalidDataError: the folder is missing, has no known layout, or lacks a split.
    """
    dataloaders = [config.get(f"{split}_dataloader") for split in ("train", "val", "test")]
    own = [loader["dataset"] for loader in dataloaders if loader and loader["dataset"].get("type") == "OwnFolder"]
    if not own:
        return
    root = _existing_root(own[0].get("data_root") or config.get("data_root"), config.filename)
    resolve = (
        _voc_dataset if (root / "Annotations").is_dir() and (root / "ImageSets" / "Main").is_dir() else _coco_dataset
    )
    resolved = [resolve(root, dataset) for dataset in own]
    classes = _ordered_classes(config.get("classes"), resolved[0])
    for dataset, settings in zip(own, resolved, strict=True):
        pipeline = dataset["pipeline"]
        mode = dict(filter_cfg=dict(filter_empty_gt=True)) if dataset["split"] == "train" else dict(test_mode=True)
        dataset.clear()
        dataset.update(ConfigDict(settings, pipeline=pipeline, **mode))
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


def read_coco(path: Path) -> dict[str, Any]:
    """A COCO annotation file as a dict, not to be changed: it is kept until `forget_coco`.

    Raises:
        InvalidDataError: it is missing or is no JSON object.
    """
    try:
        status = path.stat()
        document = _parsed(path.resolve(), status.st_mtime_ns, status.st_size)
    except OSError as error:
        raise InvalidDataError(
            f"{path}: cannot be read ({error.strerror}); is data_root the folder of your data set?"
        ) from error
    except (ValueError, RecursionError) as error:
        raise InvalidDataError(f"{path}: is not valid JSON: {error}") from error
    if not isinstance(document, dict):
        raise InvalidDataError(f"{path}: must be a JSON object with images, annotations and categories")
    return document


def forget_coco() -> None:
    """Free the memory of the annotation files read so far: gigabytes for those of COCO."""
    _parsed.cache_clear()


@lru_cache(maxsize=2)
def _parsed(path: Path, modified: int, size: int) -> Any:
    """The content of a JSON file; the last two arguments tell it from what the file was before."""
    return json.loads(read_regular(path, MAX_COCO))


def is_voc(dataset: Any) -> bool:
    """Whether a data set config is of one XML file per image, and its `ann_file` lists the images."""
    return "VOC" in dataset["type"] or "XML" in dataset["type"]


def annotation_files(dataset: Any) -> list[Path]:
    """The files that say what there is to find in the images of a data set config.

    Raises:
        InvalidDataError: the list of images cannot be read, or a line of it is no name.
    """
    root = Path(dataset.get("data_root") or "")
    source = root / dataset["ann_file"]
    if not is_voc(dataset):
        return [source]
    folder = root / (dataset.get("data_prefix") or {}).get("sub_data_root", "")
    return [source, *(_voc_annotation(folder, name) for name in voc_names(source))]


def _voc_annotation(folder: Path, name: str) -> Path:
    return folder / "Annotations" / f"{name}.xml"


def voc_objects(root: Path, split: Path) -> Iterator[tuple[Path, ElementTree.Element]]:
    """Each image's annotation file with its root element, in the order of a VOC split.

    Args:
        split: the file that lists the images.

    Raises:
        InvalidDataError: a file is missing, an annotation is no XML, or a line of the split is no name.
    """
    for name in voc_names(split):
        path = _voc_annotation(root, name)
        try:
            with open_regular(path, MAX_XML) as file:
                tree = ElementTree.parse(file)
        except OSError as error:
            raise InvalidDataError(f"{path}: cannot be read ({error.strerror}); {split} lists it") from error
        except (ElementTree.ParseError, ValueError, LookupError) as error:
            raise InvalidDataError(f"{path}: is not valid XML: {error}") from error
        yield path, tree.getroot()


def voc_names(split: Path) -> list[str]:
    """The names of the images that a VOC split lists.

    Raises:
        InvalidDataError: the file cannot be read, or a line is no name.
    """
    try:
        with TextIOWrapper(open_regular(split, MAX_SPLIT), encoding="utf-8") as file:
            names = [line.rstrip("\r\n") for line in file]  # As mmdet does.
    except OSError as error:
        raise InvalidDataError(
            f"{split}: cannot be read ({error.strerror}); it lists the images of the split, is data_root right?"
        ) from error
    except UnicodeDecodeError as error:
        raise InvalidDataError(f"{split}: is not UTF-8 text; it lists the images of the split, one a line") from error
    for number, name in enumerate(names, 1):
        # mmdet takes each line as it is.
        if not name or name != name.strip():
            raise InvalidDataError(f"{split}: line {number}: must be the name of an image alone, but got {name!r:.40}")
        if name.startswith("/") or ".." in Path(name).parts:
            raise InvalidDataError(f"{split}: line {number}: {name!r:.60} leads out of the data set; give a name in it")
    return names


def _ordered_classes(asked: Any, train: dict[str, Any]) -> tuple[str, ...]:
    root = Path(train["data_root"])
    wanted = None if asked is None else as_classes(asked)
    source = root / train["ann_file"]
    if is_voc(train):
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
