"""A folder in YOLO's layout as a data set of mmdet, which has none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mmdet.datasets import BaseDetDataset

from opanas_cli.detection.data.annotated_images import annotated_images
from opanas_cli.detection.data.facts import decoder_of
from opanas_cli.detection.data.split_parts import Part
from opanas_cli.detection.data.streamed import Streamed
from opanas_cli.errors import InvalidDataError


class YOLOFolder(Streamed, BaseDetDataset):
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
        self.backend = decoder_of(kwargs)
        super().__init__(**kwargs)

    def data_infos(self) -> Iterator[dict[str, Any]]:
        """Path, size and instances of each image."""
        labels = {name: label for label, name in enumerate(self.metainfo["classes"])}
        for image in annotated_images(self.source, self.backend):
            if isinstance(image, InvalidDataError):
                raise image
            objects = [(labels[name], box) for name, box in image.objects if name in labels]
            yield dict(
                img_path=str(image.path),
                img_id=image.name,
                width=image.size[0],
                height=image.size[1],
                instances=[dict(bbox=list(box), bbox_label=label, ignore_flag=0) for label, box in objects],
            )
