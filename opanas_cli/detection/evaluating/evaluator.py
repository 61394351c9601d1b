"""The fitness of sub-nets: their average precision with the weights of a trained super-net (Eq. 9)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from mmdet.registry import DATASETS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.dist import all_gather_object, gather_object, get_rank, get_world_size
from mmengine.registry import DefaultScope

from opanas_cli.detection.checkpoints import load_weights
from opanas_cli.detection.configs.building import build_detector, building, config_errors, images_of
from opanas_cli.detection.configs.necks import super_net_neck
from opanas_cli.detection.configs.sections import section_of
from opanas_cli.detection.configs.stages import search_dataset
from opanas_cli.detection.data.image_subset import image_paths, lowest
from opanas_cli.detection.evaluating.pass_result import PassResult
from opanas_cli.detection.evaluating.population_pass import PopulationPass, default_memory_mb, head_threads
from opanas_cli.detection.evaluating.unfinished_pass import UnfinishedPass
from opanas_cli.detection.processes.loader_workers import OutlivingLoader
from opanas_cli.detection.quiet import silenced
from opanas_cli.detection.scoring.average_precision import SEGM_AP, VOC_AP50, GroundTruth, score_population
from opanas_cli.detection.scoring.image_results import Detections
from opanas_cli.errors import InvalidConfigError
from opanas_cli.genotype import Genotype
from opanas_cli.necks.sharing import Sharing
from opanas_cli.search.evaluator import Evaluation
from opanas_cli.stage_settings import SearchSection

T = TypeVar("T")

FIRST_SHARE = 0.25
"""The part of the images on which successive halving evaluates all candidates."""


class SuperNetEvaluator:
    """Evaluates genotypes on the search split, all of them in one pass over the images.

    An image is decoded once, the backbone runs once, and so does whatever the sub-nets have in common: see
    `PopulationPass`. Of several processes each takes its share of the batches, so that the batches, and with them
    the figures, are those of one process. All must evaluate the same genotypes.

    With halving, all genotypes are evaluated on a quarter of the images, and only the better half on the others. The
    metrics of the worse half are those of the quarter, and their `image_share` says so.

    Args:
        config: the super-net's; raises InvalidConfigError if its neck is another.
        state: the `state_dict` of the detector with the super-net; raises InvalidCheckpointError if it does not fit.
        source: where the weights come from, for messages.
        search_split: the held-out fraction of the training images; 0 evaluates on the validation set. Raises
            InvalidDataError if there are no images.
        section: what to evaluate on and by, the config's section `search` by default. Its metric is computed beside
            COCO's statistics; without `memory_mb`, the least that any process may take is used.
        on_images: called after each step of a pass with how many images are done, and how many there are.

    Attributes:
        unfinished: keeps what a pass has found, so that a search that was killed resumes it; None keeps nothing.
    """

    def __init__(
        self,
        config: Config,
        state: Any,
        source: Any,
        search_split: float,
        device: torch.device,
        section: SearchSection | None = None,
        on_images: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        super_net_neck(config)
        self.section = section or section_of(config, "search")
        dataset = search_dataset(config, search_split, self.section.max_images)
        self.source = str(config.filename)
        self.device = device
        self.on_images = on_images
        self.unfinished: UnfinishedPass | None = None
        # One figure for all: the last digits depend on what runs at once.
        least = min(all_gather_object(default_memory_mb(device)))
        self.memory_mb = float(self.section.memory_mb or least)
        with silenced(), DefaultScope.overwrite_default_scope("mmdet"):
            self.detector = build_detector(config)
            load_weights(self.detector, state, source)
            self.detector.to(device).eval()
            with building(config):
                self.num_workers = int(config.val_dataloader.get("num_workers", 0))
                self.dataset = DATASETS.build(dataset)
        self.rounds = self._rounds()

    @property
    def num_images(self) -> int:
        """How many images a genotype is evaluated on."""
        return len(self.dataset)

    def evaluate(self, genotypes: Sequence[Genotype]) -> list[Evaluation]:
        """COCO's statistics of each genotype, unrounded, those that are defined on the images.

        Raises InvalidGenotypeError if a genotype is not of the super-net's space.
        """
        for genotype in genotypes:
            self.detector.neck.check(genotype)
        if self.unfinished:
            self.unfinished.begin(genotypes)
        result = self._pass(genotypes, 0)
        metrics = self._scores(result)
        if len(self.rounds) == 1:
            return list(map(Evaluation, metrics))
        found = [Evaluation(values, len(self.rounds[0]) / self.num_images) for values in metrics]
        better = self._better_half(metrics)
        whole = self._pass([genotypes[index] for index in better], 1)
        whole.add(result.of_candidates(better))
        for index, values in zip(better, self._scores(whole), strict=True):
            found[index] = Evaluation(values)
        return found

    def _rounds(self) -> list[list[int]]:
        """The positions of the images, or those of the quarter of the lowest numbers and those of the others."""
        everything = list(range(len(self.dataset)))
        count = math.ceil(FIRST_SHARE * len(everything))
        if not self.section.halving or count == len(everything):
            return [everything]
        first = lowest(list(image_paths(self.dataset)), count)
        return [first, sorted(set(everything) - set(first))]

    def _better_half(self, metrics: Sequence[dict[str, float]]) -> list[int]:
        """The better half of the candidates by their indices, one at least.

        All of them if the metric is not defined on the quarter of the images, which then says nothing about them.
        """
        order = list(range(len(metrics)))
        metric = self.section.metric
        if any(metric not in values for values in metrics):
            return order
        order.sort(key=lambda index: -metrics[index][metric])
        return sorted(order[: (len(order) + 1) // 2])

    def _pass(self, genotypes: Sequence[Genotype], round_number: int) -> PassResult:
        """What the genotypes find in this process's share of the images of a round."""
        positions = self.rounds[round_number]
        own = self._batches(positions)[get_rank() :: get_world_size()]
        known = self.unfinished.known(round_number, genotypes, own) if self.unfinished else None
        result = known or PassResult.none(len(genotypes))
        own = [batch for batch in own if not result.truths.keys() >= set(batch)]
        loader = OutlivingLoader(
            self.dataset,
            batch_sampler=own,
            num_workers=self.num_workers,
            collate_fn=pseudo_collate,
        )
        with silenced(), head_threads(self.device) as threads:
            with_masks = self.section.metric == SEGM_AP
            run = PopulationPass(self.detector, Sharing.of(genotypes), self.memory_mb, threads, with_masks)
            for batch, data in zip(own, images_of(loader, self.source), strict=True):
                with config_errors(self.source, "cannot be evaluated", runtime_errors=False):
                    found = run.run(data, batch)
                result.add(found)
                if self.unfinished:
                    self.unfinished.add(found)
                self.on_images(min(len(result.truths) * get_world_size(), len(positions)), len(positions))
        if self.unfinished:
            self.unfinished.end_round()
        return result

    def _batches(self, positions: Sequence[int]) -> list[list[int]]:
        """Images of one size together: beside a larger one an image would be padded, and norms would see that."""
        alike: dict[Any, list[int]] = {}
        for position in positions:
            info = self.dataset.get_data_info(position)
            alike.setdefault((info.get("width"), info.get("height")), []).append(position)
        size = self.section.batch_size
        return [group[start : start + size] for group in alike.values() for start in range(0, len(group), size)]

    def _scores(self, result: PassResult) -> list[dict[str, float]]:
        """The metrics of every candidate, in every process; each process scores some candidates."""
        size = get_world_size()
        truths = dict(sorted(_united(all_gather_object(result.truths)).items()))
        truth = GroundTruth(list(truths.values()), self.dataset.metainfo)
        if self.section.metric == SEGM_AP and not truth.has_masks:
            raise InvalidConfigError(
                f"{self.source}: search.metric=segm_AP: the images have no masks; set with_mask=True in "
                "LoadAnnotations of val_dataloader's pipeline"
            )
        own: dict[int, list[Detections]] = {}
        for index, found in enumerate(result.found):
            parts = gather_object(found, dst=index % size)
            if parts is not None:
                everywhere = _united(parts)
                own[index] = [everywhere[position] for position in truths]
        # Only now, since every gathering waits for all processes.
        scores = score_population(list(own.values()), truth, voc=self.section.metric == VOC_AP50)
        scored = _united(all_gather_object(dict(zip(own, scores, strict=True))))
        return [scored[index] for index in range(len(result.found))]


def _united(parts: Iterable[Mapping[int, T]]) -> dict[int, T]:
    return {key: value for part in parts for key, value in part.items()}
