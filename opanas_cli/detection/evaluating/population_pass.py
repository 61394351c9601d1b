"""One pass over images for a whole population: what can be shared is computed once, and heads run in batches."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from opanas_cli.detection.evaluating.pass_result import PassResult
from opanas_cli.detection.scoring.image_results import Detections, ImageTruth
from opanas_cli.necks.population import most_values_needed, run_population, stack_pyramids
from opanas_cli.necks.sharing import Sharing
from opanas_cli.stage_settings import MEMORY_MB

IMAGES_AT_ONCE = {"cpu": 16, "cuda": 32}
"""Heads run on the pyramids of several candidates as one batch, of about so many images."""

MOST_THREADS = 4
"""More threads would wait for one another: much of what heads do on the CPU is Python code."""

FREE_SHARE = 1 / 3


class HeadThreads(ThreadPoolExecutor):
    """Threads for heads to run in."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.count = count


class PopulationPass:
    """Runs the sub-nets of a population on one batch of images after another.

    The backbone and the neck's input side run once, equal paths of equal inputs once (`run_population`), and the heads
    on several candidates at a time.

    Args:
        detector: mmdet's, with a super-net as its neck, in eval mode.
        sharing: of the population.
        memory_mb: see `run_population`. If it does not hold all that a batch's candidates share, necks and heads take
            the batch in parts, down to single images.
        threads: of `head_threads`.
        with_masks: whether the masks of objects are part of the result.
    """

    def __init__(
        self,
        detector: nn.Module,
        sharing: Sharing,
        memory_mb: float,
        threads: HeadThreads | None = None,
        with_masks: bool = False,
    ) -> None:
        self.detector = detector
        self.sharing = sharing
        self.memory_mb = memory_mb
        self.threads = threads
        self.with_masks = with_masks
        self._most_values = most_values_needed(sharing)

    def run(self, batch: Any, positions: Sequence[int]) -> PassResult:
        """The result of one batch, as the data loader gives it; `positions` are those of its images."""
        with torch.inference_mode():
            data = self.detector.data_preprocessor(batch, False)
            pyramid = self.detector.neck.project(self.detector.backbone(data["inputs"]))
            found: list[dict[int, Detections]] = [{} for _ in self.sharing.outputs]
            step = self._images_that_fit(pyramid)
            for start in range(0, len(positions), step):
                part = slice(start, start + step)
                images = data["inputs"][part], data["data_samples"][part]
                for indices, future in self._begun([level[part] for level in pyramid], *images):
                    detections = future.result()
                    for index in indices:
                        found[index].update({position: next(detections) for position in positions[part]})
        truths = [ImageTruth.of(sample.to_dict(), self.with_masks) for sample in data["data_samples"]]
        return PassResult(dict(zip(positions, truths, strict=True)), found)

    def _images_that_fit(self, pyramid: Sequence[Tensor]) -> int:
        """How many images of a batch may be run at once so that all that is shared fits into the memory."""
        of_one_image = sum(level[0].nbytes for level in pyramid)
        return max(1, int(self.memory_mb * 10**6 / of_one_image / self._most_values))

    def _begun(
        self, pyramid: Sequence[Tensor], inputs: Tensor, samples: Sequence[Any]
    ) -> Iterator[tuple[list[int], Future[Iterator[Detections]]]]:
        """The heads' work by chunks of candidates; a chunk begins before earlier ones have been asked for."""
        neck = self.detector.neck
        at_once = max(1, IMAGES_AT_ONCE[inputs.device.type] // len(samples))
        outputs = run_population(neck, pyramid, self.sharing, self.memory_mb)
        begun: list[tuple[list[int], Future[Iterator[Detections]]]] = []
        while chunk := list(islice(outputs, at_once)):
            stacked = neck.extra_outputs(stack_pyramids([output for _, output in chunk]))
            future = _submit(self.threads, self._predict, stacked, inputs, samples, len(chunk))
            begun.append(([index for index, _ in chunk], future))
            if self.threads is None or len(begun) > self.threads.count:
                yield begun.pop(0)
        yield from begun

    def _predict(
        self, pyramid: Sequence[Tensor], inputs: Tensor, samples: Sequence[Any], num_candidates: int
    ) -> Iterator[Detections]:
        """What the heads find, candidate by candidate and in each image by image."""
        # Each thread has its own setting of both.
        with torch.inference_mode(), torch.cuda.device(inputs.device) if inputs.is_cuda else nullcontext():
            repeated = [sample.new() for _ in range(num_candidates) for sample in samples]
            predicted = heads_on(self.detector, pyramid).predict(inputs, repeated)
            return iter([Detections.of(sample.pred_instances, self.with_masks) for sample in predicted])


def heads_on(detector: nn.Module, pyramid: Sequence[Tensor]) -> nn.Module:
    """The detector with `extract_feat` giving `pyramid`: every mmdet detector gets its features from it.

    All modules and weights are those of `detector`, which stays as it is, so several threads may each have their own.
    """
    twin = copy.copy(detector)
    twin.__dict__["extract_feat"] = lambda *_, **__: tuple(pyramid)
    return twin


@contextmanager
def head_threads(device: torch.device) -> Iterator[HeadThreads | None]:
    """Threads for heads to run in beside the neck: several on the CPU, where most of what heads do uses one core."""
    count = min(MOST_THREADS, torch.get_num_threads()) if device.type == "cpu" else 1
    if device.type == "cpu" and count == 1:
        yield None
        return
    with HeadThreads(count) as threads:
        yield threads


def default_memory_mb(device: torch.device) -> float:
    """`memory_mb` if none is given: on a GPU a third of what is free now."""
    return FREE_SHARE * torch.cuda.mem_get_info(device)[0] / 10**6 if device.type == "cuda" else MEMORY_MB


def _submit(threads: HeadThreads | None, call: Any, *arguments: Any) -> Future[Any]:
    if threads is not None:
        return threads.submit(call, *arguments)
    done: Future[Any] = Future()
    done.set_result(call(*arguments))
    return done
