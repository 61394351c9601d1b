"""Data sets of mmdet that are packed while they are read: their images as dicts would fill the memory."""

from __future__ import annotations

import pickle
from array import array
from collections.abc import Iterator
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset
from numpy.typing import NDArray


class Streamed(BaseDataset):
    """A data set whose `data_infos` gives the images one by one; in all else as mmengine's.

    Of `filter_cfg` it knows `filter_empty_gt` and `min_size`, as mmdet's data sets do.
    """

    def data_infos(self) -> Iterator[dict[str, Any]]:
        """What mmdet's `parse_data_info` gives, of every image."""
        raise NotImplementedError

    def load_data_list(self) -> Any:
        """The images, still unread where they are packed at once."""
        infos = self.data_infos()
        are_packed = self.serialize_data and self._indices is None and not getattr(self, "proposal_file", None)
        return infos if are_packed else list(infos)

    def filter_data(self) -> Any:
        """Those that `filter_cfg` leaves, of a data set that is trained on."""
        options = {} if self.test_mode else self.filter_cfg or {}
        kept = (
            info
            for info in self.data_list
            if (info["instances"] or not options.get("filter_empty_gt"))
            and min(info["width"], info["height"]) >= options.get("min_size", 0)
        )
        return kept if isinstance(self.data_list, Iterator) else list(kept)

    def _serialize_data(self) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        held, ends = bytearray(), array("q")
        for info in self.data_list:
            held += pickle.dumps(info, protocol=4)
            ends.append(len(held))
        self.data_list = []
        return np.frombuffer(held or b"", dtype=np.uint8), np.array(ends, dtype=np.int64)
