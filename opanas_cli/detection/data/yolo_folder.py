"""A folder in YOLO's layout as a data set of mmdet, which has none."""

from __future__ import annotations

from typing import Any

from mmdet.datasets import BaseDetDataset

from opanas_cli.detection.data.annotated_images import annotated_images
from opanas_cli.detection.data.split_parts import Part


class YOLOFolder(BaseDetDataset):
    """Images, and for each a text file of the same name with boxes; an image without one shows nothing.

    `ann_file` names the classes, and `data_prefix` the folders of the images, `img`, and of the texts, `ann`. Raises
    InvalidDataError if one of them cannot be read.

    Args:
        images: a file that lists the images; by default they are all in the folder.
        part: take those of one part.
    """

    def __init__(self, *, images: str | None = None, part: Part | None = None, **kwargs: Any) -> None:
        self.source = dict(
            type="YOLOFolder",
            data_root=kwargs.get("data_root"),
            ann_file=kwargs["ann_file"],
            data_prefix=dict(kwargs["data_prefix"]),
            images=images,
            part=part,
        )
        super().__init__(**kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """Path, size and instances of each image."""
        labels = {name: label for label, name in enumerate(self.metainfo["classes"])}
        infos = []
        for image in annotated_images(self.source, "cv2"):
            if isinstance(image, Exception):
                raise image
            instances = [
                dict(bbox=list(box), bbox_label=labels[name], ignore_flag=0)
                for name, box in image.objects
                if name in labels
            ]
            width, height = image.size
            infos.append(
                dict(img_path=str(image.path), img_id=image.name, width=width, height=height, instances=instances)
            )
        return infos

    def filter_data(self) -> list[dict[str, Any]]:
        """Without the images that have no instance, if the data set is to be trained on and says so."""
        if self.test_mode or not (self.filter_cfg or {}).get("filter_empty_gt"):
            return self.data_list
        return [info for info in self.data_list if info["instances"]]
