"""A COCO file without splits, of which a data set has one part."""

from __future__ import annotations

from typing import Any

from mmdet.datasets import CocoDataset

from opanas_cli.detection.data.split_parts import Part, in_part


class CocoPart(CocoDataset):
    """mmdet's `CocoDataset` with the images of one part alone; see `in_part`."""

    def __init__(self, *args: Any, part: Part, **kwargs: Any) -> None:
        self.part = part
        super().__init__(*args, **kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """The annotations of the part's images, as mmdet's."""
        return [info for info in super().load_data_list() if in_part(info["file_name"], self.part)]

    def parse_data_info(self, raw_data_info: dict[str, Any]) -> Any:
        """One image's annotations, as mmdet's, with the name of the image."""
        info = super().parse_data_info(raw_data_info)
        return {**info, "file_name": raw_data_info["raw_img_info"]["file_name"]}
