"""Training images paired with held-out ones, for methods that train on both parts in each step."""

from __future__ import annotations

from typing import Any

import numpy as np
from mmdet.registry import DATASETS


class HeldOutPairs:
    """Each training image as ``training`` together with a held-out one, drawn at random, as ``held_out``.

    So one epoch is one pass over the training images, and the held-out ones follow from the seed of each sample: see
    `SeededSamples`. In all else it is the training data set.

    Args:
        dataset: the config of the training images.
        held_out: the config of the held-out ones.
    """

    def __init__(self, dataset: dict[str, Any], held_out: dict[str, Any]) -> None:
        self.__dict__["parts"] = [DATASETS.build(part) for part in (dataset, held_out)]

    def __getitem__(self, index: int) -> dict[str, Any]:
        training, held_out = self.parts
        drawn = np.random.randint(len(held_out))  # noqa: NPY002 (the generator that `SeededSamples` seeds)
        return {"training": training[index], "held_out": held_out[drawn]}

    def __len__(self) -> int:
        return len(self.parts[0])

    def __getattr__(self, name: str) -> Any:
        if name == "parts":  # Not there yet, while a worker process unpickles it.
            raise AttributeError(name)
        return getattr(self.parts[0], name)

    def __setattr__(self, name: str, value: Any) -> None:
        # Hooks switch the pipeline of a data set while it is trained on.
        for part in self.parts:
            setattr(part, name, value)
