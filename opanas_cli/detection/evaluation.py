"""The fitness of sub-nets: their average precision with the weights of a trained super-net (Eq. 9)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from torch import Tensor, nn

from opanas_cli.detection.average_precision import DetectionAP
from opanas_cli.detection.checkpoints import load_weights
from opanas_cli.detection.config_stages import search_dataset, stage_settings, super_net_neck
from opanas_cli.detection.runs import building, silenced
from opanas_cli.detection.shared_features import features_from
from opanas_cli.genotype import Genotype


class SuperNetEvaluator:
    """Evaluates genotypes on the search split, all of them in one pass over the images.

    An image is decoded once, and the backbone and the neck's input side run once for all genotypes.

    Args:
        config: the config of the super-net.
        state: the `state_dict` of the detector with the super-net.
        source: where the weights come from, for messages.
        search_split: the held-out fraction of the training images; 0 evaluates on the validation set.
        max_images: at most so many images.
        on_images: is told after each step of a pass how many images are done, and how many there are.

    Raises:
        InvalidConfigError: the neck is no super-net.
        InvalidCheckpointError: the weights do not fit.
        InvalidDataError: the split is empty.
    """

    def __init__(
        self,
        config: Config,
        state: Any,
        source: Any,
        search_split: float,
        max_images: int | None,
        device: torch.device,
        batch_size: int | None = None,
        on_images: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        super_net_neck(config)
        dataset = search_dataset(config, search_split, max_images)
        self.device = device
        self.on_images = on_images
        with silenced(), DefaultScope.overwrite_default_scope("mmdet"):
            self.detector = build_detector(config)
            load_weights(self.detector, state, source)
            self.detector.to(device).eval()
            self.dataloader = Runner.build_dataloader(
                dict(
                    batch_size=batch_size or stage_settings(config, "search").batch_size,
                    num_workers=config.val_dataloader.get("num_workers", 0),
                    sampler=dict(type="DefaultSampler", shuffle=False),
                    dataset=dataset,
                )
            )

    @property
    def num_images(self) -> int:
        """How many images a genotype is evaluated on."""
        return len(self.dataloader.dataset)

    def evaluate(self, genotypes: Sequence[Genotype]) -> list[dict[str, float]]:
        """COCO's statistics of each genotype, unrounded.

        Raises:
            InvalidGenotypeError: a genotype is not of the super-net's space.
        """
        metrics = [DetectionAP(collect_device="cpu") for _ in genotypes]
        for metric in metrics:
            metric.dataset_meta = self.dataloader.dataset.metainfo
        done = 0
        with torch.inference_mode(), silenced():
            for batch in self.dataloader:
                data = self.detector.data_preprocessor(batch, False)
                pyramid = self.detector.neck.project(self.detector.backbone(data["inputs"]))
                for genotype, metric in zip(genotypes, metrics, strict=True):
                    metric.process(data, self._predict(pyramid, genotype, data))
                done += len(data["data_samples"])
                self.on_images(done, self.num_images)
        return [metric.compute_metrics(metric.results) for metric in metrics]

    def _predict(self, pyramid: Sequence[Tensor], genotype: Genotype, data: dict[str, Any]) -> list[dict[str, Any]]:
        samples = [copy.copy(sample) for sample in data["data_samples"]]
        with features_from(self.detector, lambda: self.detector.neck.aggregate(pyramid, genotype)):
            predicted = self.detector.predict(data["inputs"], samples)
        return [sample.to_dict() for sample in predicted]


def build_detector(config: Config) -> nn.Module:
    """The detector of a config, its weights not initialised.

    Raises:
        InvalidConfigError: it cannot be built.
    """
    with building(config), DefaultScope.overwrite_default_scope("mmdet"):
        model: nn.Module = MODELS.build(copy.deepcopy(config.model))
    return model
