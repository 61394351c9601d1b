"""Which classes a data set has, by its annotation files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from opanas_cli.detection.data.annotation_files import is_voc, read_coco, voc_objects
from opanas_cli.errors import InvalidDataError


def class_names(dataset: dict[str, Any], wanted: tuple[str, ...] | None) -> tuple[str, ...]:
    """The classes of a data set config in the order of their labels.

    Args:
        wanted: those that the user asked for; None for all that the annotations name.

    Raises:
        InvalidDataError: the annotations cannot be read, or lack one that is wanted.
    """
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
