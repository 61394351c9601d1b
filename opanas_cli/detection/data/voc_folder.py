"""XML files in VOC's form beside images of any suffix, in folders of any name; mmdet reads VOC's own layout alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, ClassVar

from mmdet.datasets import XMLDataset

from opanas_cli.detection.data.annotation_files import listed_names
from opanas_cli.detection.data.nested_files import SUFFIXES
from opanas_cli.detection.data.split_parts import Part
from opanas_cli.detection.data.streamed import Streamed


class ImagesByStem:
    """Finds the images of a folder by their names without suffix; each folder is listed once.

    Names may lead into folders below it, such as ``night/0001``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.listed: dict[Path, dict[str, str]] = {}

    def __getitem__(self, name: str) -> str:
        """``NAME.SUFFIX``; the `.jpg` if there are several, as in mmdet, or none."""
        asked = Path(f"{name}.jpg")
        parent = (self.folder / asked).parent
        if parent not in self.listed:
            self.listed[parent] = _images(parent)
        return str(asked.with_name(self.listed[parent].get(asked.stem, asked.name)))


class VOCFolder(Streamed, XMLDataset):
    """mmdet's `XMLDataset`, each image found by its stem in `img_subdir`: see `SUFFIXES`.

    Args:
        part: of the images that `ann_file` lists, or that are annotated if it is a folder, take those of one part.
    """

    METAINFO: ClassVar = {"dataset_type": "VOC"}

    def __init__(self, *, part: Part | None = None, **kwargs: Any) -> None:
        self.part = part
        super().__init__(**kwargs)

    def data_infos(self) -> Iterator[dict[str, Any]]:
        """The annotations of every image, as mmdet's."""
        self.images = ImagesByStem(Path(self.sub_data_root, self.img_subdir))
        self.cat2label = {name: label for label, name in enumerate(self.metainfo["classes"])}
        xml = Path(self.sub_data_root, self.ann_subdir)
        names = listed_names(Path(self.ann_file), self.part)
        return (self.parse_data_info({"img_id": name, "xml_path": str(xml / f"{name}.xml")}) for name in names)

    def parse_data_info(self, img_info: dict[str, Any]) -> Any:
        """One image's annotation, as mmdet's."""
        file_name = str(Path(self.img_subdir, self.images[img_info["img_id"]]))
        return super().parse_data_info({**img_info, "file_name": file_name})


def has_area(box: Sequence[float], width: float, height: float) -> bool:
    """Whether a box of left, top, right and bottom has an area within an image."""
    left, top, right, bottom = box
    return min(right, width) > max(left, 0) and min(bottom, height) > max(top, 0)


def leave_out_empty_boxes() -> None:
    """Make mmdet's VOC data sets ignore boxes with no area inside the image, as its COCO data set does.

    Resizing would clip such a box to a side of 0, whose logarithm a detector learns: the loss would be NaN.
    """
    parse = XMLDataset.parse_data_info

    @wraps(parse)
    def parse_data_info(self: XMLDataset, img_info: dict[str, Any]) -> Any:
        info = parse(self, img_info)
        size = info["width"], info["height"]
        info["instances"] = [instance for instance in info["instances"] if has_area(instance["bbox"], *size)]
        return info

    XMLDataset.parse_data_info = parse_data_info


def _images(folder: Path) -> dict[str, str]:
    """The file name of each stem; missing folders hold none."""
    files = [path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES] if folder.is_dir() else []
    # The last of a stem stays.
    return {path.stem: path.name for path in sorted(files, key=lambda path: (path.suffix == ".jpg", path.name))}
