"""How people lay out their images and annotations: each known way turns a folder into data set configs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opanas_cli.detection.data.annotation_files import listed_names, read_coco
from opanas_cli.detection.data.layouts.coco import coco_sources
from opanas_cli.detection.data.layouts.folders import Sources
from opanas_cli.detection.data.layouts.voc import listed_xml_sources, xml_sources
from opanas_cli.detection.data.layouts.yolo import yolo_sources
from opanas_cli.detection.data.yolo_files import yolo_pairs
from opanas_cli.errors import InvalidDataError

LAYOUTS: Mapping[str, Callable[[Path], Sources]] = {
    "VOC": listed_xml_sources,
    "COCO": coco_sources,
    "XML": xml_sources,
    "YOLO": yolo_sources,
}
"""Each by its name; the first that finds its files is taken."""


@dataclass(frozen=True)
class Layout:
    """What a folder was recognised as, and where its images are."""

    name: str
    sources: Sources


def recognised(root: Path) -> Layout:
    """The layout of a folder. Nothing is written.

    Raises InvalidDataError if it is none of `LAYOUTS`, or a file that names classes or images cannot be used.
    """
    try:
        for name, find in LAYOUTS.items():
            if sources := find(root):
                return Layout(name, sources)
    except OSError as error:
        raise InvalidDataError(f"{error.filename or root}: cannot be read ({error.strerror})") from error
    raise InvalidDataError(
        f"{root}: is in no known layout: there are neither annotations in COCO's JSON, nor XML files of VOC's form, "
        "nor YOLO's labels/*.txt with data.yaml or classes.txt; is data_root the folder of your data set?"
    )


def names_of(root: Path, source: Mapping[str, Any]) -> Iterator[str]:
    """The names of the images of a source, as `in_part` takes them."""
    if source["type"] == "YOLOFolder":
        return (name for name, _ in yolo_pairs({**source, "data_root": root}))
    if source["type"] == "VOCFolder":
        return listed_names(root / source["ann_file"])
    images = read_coco(root / source["ann_file"])["images"]
    return (str(image["file_name"]) for image in images if isinstance(image, dict) and "file_name" in image)
