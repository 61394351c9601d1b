"""A user's own images: the data sets of the folder's layout in place of `OwnFolder`, and the classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict

from opanas_cli.detection.configs.parts import DATALOADERS, as_classes, set_classes
from opanas_cli.detection.configs.sections import section_of
from opanas_cli.detection.data.annotation_files import is_voc, is_yolo, read_coco, source_of, voc_objects
from opanas_cli.detection.data.layouts import Layout, names_of, recognised
from opanas_cli.detection.data.layouts.folders import WHOLE
from opanas_cli.detection.data.split_parts import SPLITS, checked_split, kept_together
from opanas_cli.detection.data.yolo_files import class_names
from opanas_cli.errors import InvalidConfigError, InvalidDataError

DEFAULT_SPLIT = (0.8, 0.1, 0.1)

FALLBACKS = {"train": ("train",), "val": ("val", "test"), "test": ("test", "val")}


def resolve_own_folders(config: Config) -> None:
    """Turn every `OwnFolder` data set of a config into one of the folder's layout, and count the classes.

    Raises InvalidConfigError if `data_root` is not set or `split` is wrong, InvalidDataError if the folder is missing,
    is in no known layout, or lacks a split that cannot be made.
    """
    datasets = [(config.get(name) or {}).get("dataset") or {} for name in DATALOADERS]
    own = [dataset for dataset in datasets if dataset.get("type") == "OwnFolder"]
    if not own:
        return
    for split in (dataset.get("split") for dataset in own):
        if split not in SPLITS:
            raise InvalidConfigError(
                f"{config.filename}: an OwnFolder must have split='train', 'val' or 'test', but got {split!r:.40}"
            )
    root = _existing_root(own[0].get("data_root") or config.get("data_root"), config.filename)
    found = _split_sources(recognised(root), root, config)
    resolved = [_of_split(found, dataset["split"], root) for dataset in own]
    asked = config.get("classes")
    classes = _class_names(resolved[0], None if asked is None else as_classes(asked))
    for dataset, source in zip(own, resolved, strict=True):
        pipeline = dataset.get("pipeline")
        mode = dict(filter_cfg=dict(filter_empty_gt=True)) if dataset["split"] == "train" else dict(test_mode=True)
        dataset.clear()
        dataset.update(ConfigDict(source, pipeline=pipeline, **mode))
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


def _split_sources(layout: Layout, root: Path, config: Config) -> dict[str, dict[str, Any]]:
    """The data set configs of a layout by split; if it has but training images, their parts by the setting `split`."""
    fractions, by = checked_split(config.get("split", DEFAULT_SPLIT), f"{config.filename}: split")
    (first, source), *others = layout.sources.items()
    if others or first not in (WHOLE, "train"):
        return {split: {**source, "data_root": str(root)} for split, source in layout.sources.items()}
    if by is None:
        frames = section_of(config, "supernet").split_by == "folder"
        by = "folder" if frames else kept_together(names_of(root, source))
    kind = "CocoPart" if source["type"] == "CocoDataset" else source["type"]
    return {
        split: {**source, "type": kind, "data_root": str(root), "part": dict(name=split, fractions=fractions, by=by)}
        for split, fraction in zip(SPLITS, fractions, strict=True)
        if fraction
    }


def _of_split(sources: dict[str, dict[str, Any]], split: str, root: Path) -> dict[str, Any]:
    for name in FALLBACKS[split]:
        if name in sources:
            return sources[name]
    raise InvalidDataError(
        f"{root}: has a split '{next(iter(sources))}' but no '{split}'; add it, or remove all splits to have them made"
    )


def _class_names(dataset: dict[str, Any], wanted: tuple[str, ...] | None) -> tuple[str, ...]:
    """The classes of a data set config in the order of their labels: those wanted, or all that are annotated."""
    source = source_of(dataset)
    if is_voc(dataset):
        return wanted if wanted is not None else _annotated_names(dataset)
    named = class_names(source) if is_yolo(dataset) else _categories(source)
    missing = [name for name in wanted or () if name not in named]
    if missing:
        raise InvalidDataError(f"{source}: has no category '{missing[0]}'; its categories are {', '.join(named)}")
    # mmdet labels categories in the order of the file, whatever the order asked for.
    return tuple(name for name in named if wanted is None or name in wanted)


def _annotated_names(dataset: dict[str, Any]) -> tuple[str, ...]:
    # Broken files are reported when all is checked.
    trees = (tree for _, tree in voc_objects(dataset) if not isinstance(tree, InvalidDataError))
    names = {str(name.text) for tree in trees for name in tree.findall("object/name")}
    if not names:
        raise InvalidDataError(f"{source_of(dataset)}: its annotations name no object")
    return tuple(sorted(names))


def _categories(source: Path) -> list[str]:
    """Those of a COCO file, without the headings that Roboflow writes as categories of their own."""
    document = read_coco(source)
    categories = document.get("categories")
    entries = categories if isinstance(categories, list) else [None]
    named = [entry.get("name") if isinstance(entry, dict) else None for entry in entries]
    if not all(isinstance(name, str) for name in named):
        raise InvalidDataError(f"{source}: must have a list 'categories', each with an id and a name as text in quotes")
    others = entries[1:]
    if others and all(other.get("supercategory") == named[0] for other in others):
        annotations = [one for one in document.get("annotations") or () if isinstance(one, dict)]
        if not any(one.get("category_id") == entries[0].get("id") for one in annotations):
            return named[1:]
    return named
