"""How long images take in each stage of a search, measured for seconds on the user's own data."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from typing import Any

import torch
from mmdet.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.model import BaseModule
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope

from opanas_cli.detection.configs.building import building, config_errors
from opanas_cli.detection.configs.necks import search_space
from opanas_cli.detection.configs.sections import section_of
from opanas_cli.detection.configs.stages import search_dataset, super_net_stage
from opanas_cli.detection.evaluating.population_pass import PopulationPass, default_memory_mb, head_threads
from opanas_cli.detection.processes.devices import use_device
from opanas_cli.detection.quiet import silenced
from opanas_cli.detection.training.mixed_precision import fit_precision
from opanas_cli.detection.training.mixture_detector import MixtureDetector  # noqa: F401  (registers both detectors)
from opanas_cli.detection.training.networks import sub_net_config
from opanas_cli.necks.sharing import Sharing
from opanas_cli.search.budget import Images, Pace
from opanas_cli.search.fair_sampling import fair_genotypes, step_generator

SECONDS = 6.0
"""How long each of the four measurements may go on to larger batches."""

SMALLEST_BATCH, GROWTH = 2, 4
"""A single image leaves batch norm nothing to normalise by, if its coarsest level has one pixel."""

Take = Callable[[Any, int], Any]
"""A step on a batch of so many images, as the data set gives them."""


class Pacing:
    """The images of each stage of a config that has its data, and how long they take.

    No pre-trained weights are loaded, as they may have to be downloaded, and nothing is learnt: the number of boxes is
    not that of a trained detector.

    Raises:
        InvalidConfigError, InvalidDataError: a stage cannot be built, or has no images.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.split = section_of(config, "supernet").search_split
        self.super_net = super_net_stage(config, seed=0)
        sampling = section_of(config, "supernet").sampling
        self.genotypes = fair_genotypes(search_space(config), step_generator(0, 0), sampling)
        self.alone = sub_net_config(config, self.genotypes[0])
        self.images_of = {
            "supernet": _dataset(config, self.super_net.train_dataloader.dataset),
            "search": _dataset(config, search_dataset(config, self.split, None)),
            "retrain": _dataset(config, self.alone.train_dataloader.dataset),
            "test": _dataset(config, self.alone.test_dataloader.dataset),
        }

    @property
    def images(self) -> Images:
        """How many images each stage has."""
        classes = self.images_of["retrain"].metainfo.get("classes", ())
        return Images(**{stage: len(images) for stage, images in self.images_of.items()}, classes=len(classes))

    def measure(self, device: torch.device) -> Pace:
        """Take steps of each stage, on as many images of a batch as there is time for.

        Raises OpanasError if a loss is not finite, InvalidConfigError if a network cannot be run on the images.
        """
        use_device(device)
        with config_errors(self.config.filename, "cannot be run", runtime_errors=False), silenced():
            return self._measured(device)

    def _measured(self, device: torch.device) -> Pace:
        model, step = _training(self.super_net, device)
        supernet = self._seconds("supernet", step, device)
        smaller = copy.deepcopy(self.config)
        scale, half = section_of(smaller, "supernet").image_scale, 1.0
        if scale:
            smaller.supernet.image_scale = tuple(max(32, side // 2) for side in scale)
            images = _dataset(smaller, super_net_stage(smaller, seed=0).train_dataloader.dataset)
            half = min(1.0, self._seconds("supernet", step, device, images) / supernet)
        detector = model.detector.eval()
        sharing, memory_mb = Sharing.of(self.genotypes), default_memory_mb(device)
        with head_threads(device) as threads:
            run = PopulationPass(detector, sharing, memory_mb, threads).run
            search = self._seconds("search", lambda batch, count: run(batch, range(count)), device)
        del model, detector
        retrain = self._seconds("retrain", _training(self.alone, device)[1], device)
        return Pace(supernet, search / len(self.genotypes), retrain, half)

    def _seconds(self, stage: str, step: Take, device: torch.device, images: Any = None) -> float:
        """The seconds for one image in a step of a stage, loading included."""
        images = self.images_of[stage] if images is None else images
        whole = section_of(self.config, stage).batch_size
        loader = self.config.val_dataloader if stage == "search" else self.config.train_dataloader
        began, count = time.perf_counter(), min(SMALLEST_BATCH, whole)
        while True:
            started = time.perf_counter()
            batch = pseudo_collate([images[place % len(images)] for place in range(count)])
            loading = time.perf_counter() - started
            computing = min(_timed(step, batch, count, device) for _ in range(2))  # The first one warms up.
            now = time.perf_counter()
            if count == whole or now - began + GROWTH * (now - started) > SECONDS:
                break
            count = min(whole, GROWTH * count)
        workers = loader.get("num_workers", 0)
        # Workers load while a GPU computes; on a CPU they take turns with it.
        beside = workers and device.type == "cuda"
        return (max(computing, loading / workers) if beside else computing + loading) / count


def _dataset(config: Config, dataset: Any) -> Any:
    with building(config), DefaultScope.overwrite_default_scope("mmdet"), silenced():
        return DATASETS.build(dataset)


def _training(stage: Config, device: torch.device) -> tuple[Any, Take]:
    """The model of a stage, and a step of its training that moves no weight."""
    fit_precision(stage, device)
    stage.optim_wrapper.optimizer.lr = 0.0
    with building(stage), DefaultScope.overwrite_default_scope("mmdet"):
        model = MODELS.build(copy.deepcopy(stage.model))
    for part in model.modules():
        if isinstance(part, BaseModule) and _is_pretrained(part.init_cfg):
            part.init_cfg = None
    model.init_weights()  # Weights of torch's own make denormal numbers, which take a CPU several times as long.
    model.to(device).train()
    with DefaultScope.overwrite_default_scope("mmdet"):
        optimizer = build_optim_wrapper(model, stage.optim_wrapper)
    return model, lambda batch, _: model.train_step(batch, optimizer)


def _is_pretrained(init_cfg: Any) -> bool:
    return isinstance(init_cfg, dict) and init_cfg.get("type") == "Pretrained"


def _timed(step: Take, batch: Any, count: int, device: torch.device) -> float:
    _wait(device)
    started = time.perf_counter()
    step(copy.deepcopy(batch), count)  # Heads may change the boxes of a batch.
    _wait(device)
    return time.perf_counter() - started


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
