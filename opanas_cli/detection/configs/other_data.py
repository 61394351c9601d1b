"""The model of one config on the data of another: its classes, and the annotations that it learns from."""

from __future__ import annotations

import copy
from typing import Any

from mmengine.config import Config

from opanas_cli.detection.configs.data_checks import dataset_classes
from opanas_cli.detection.configs.parts import DATALOADERS, class_heads, dicts_in, each_dataset, required_datasets
from opanas_cli.detection.data.annotation_files import is_voc, is_yolo
from opanas_cli.errors import InvalidConfigError, InvalidDataError


def on_data_of(detector: Config, data: Config) -> Config:
    """The config `data` with the model of the config `detector`, whose heads get as many classes as the data has.

    Images, augmentation, schedule and metrics are those of `data`; a model's own augmentation of batches is left out.
    If the detector learns masks, all pipelines load them.

    Raises InvalidConfigError if it learns from semantic maps, or `data` has no training data; InvalidDataError if it
    learns masks and the annotations are of a kind that has none.
    """
    changed = copy.deepcopy(data)
    changed.model = copy.deepcopy(detector.model)
    (changed.model.get("data_preprocessor") or {}).pop("batch_augments", None)
    dataset = required_datasets(data, "train")[0]
    if classes := dataset_classes(dataset):
        for head in class_heads(changed.model):
            head["num_classes"] = len(classes)
    loading = [step for step in dicts_in(detector.get("train_dataloader")) if "Annotations" in str(step.get("type"))]
    if any(step.get("with_seg") or "Panoptic" in str(step["type"]) for step in loading):
        raise InvalidConfigError(
            f"{detector.filename}: learns from semantic maps, which {data.filename} does not load; give it without "
            "other data"
        )
    if any(step.get("with_mask") for step in loading) or (not loading and _has_mask_head(detector.model)):
        if is_voc(dataset) or is_yolo(dataset):
            raise InvalidDataError(f"{dataset['ann_file']}: has boxes only, but {detector.filename} learns masks")
        _load_masks(changed)
    others = (detector.get("custom_imports") or {}).get("imports", [])
    imports = [*(changed.get("custom_imports") or {}).get("imports", []), *others]
    changed.custom_imports = dict(imports=list(dict.fromkeys(imports)), allow_failed_imports=False)
    return changed


def _has_mask_head(model: Any) -> bool:
    return any((part or {}).get("mask_head") for part in (model, model.get("roi_head")))


def _load_masks(config: Config) -> None:
    for name in DATALOADERS:
        for dataset in each_dataset(config.get(name)):
            for step in dataset.get("pipeline") or ():
                if step["type"] == "LoadAnnotations":
                    step["with_mask"] = True
