"""One pass over images for a whole population: what can be shared is computed once, and heads run in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from opanas_cli.detection.image_results import Detections, ImageTruth
from opanas_cli.detection.pass_result import PassResult
from opanas_cli.detection.shared_features import heads_on
from opanas_cli.necks.population import run_population, stack_pyramids
from opanas_cli.necks.sharing import Sharing

IMAGES_AT_ONCE = {"cpu": 16, "cuda": 64}
"""Heads run on the pyramids of several candidates as one batch, of about so many images."""

MOST_THREADS = 4
"""More threads would wait for one another: a good part of what heads do on the CPU is Python's own work."""


class PopulationPass:
    """Runs the sub-nets of a population on one batch of images after another.

    The backbone and the neck's input side run once, equal paths of equal inputs once (`run_population`), and the heads
    on several candidates at a time.

    Args:
        detector: mmdet's, with a super-net as its neck, in eval mode.
        sharing: of the population.
        memory_mb: see `run_population`.
        threads: of `head_threads`.
    """

    def __init__(
        self, detector: nn.Module, sharing: Sharing, memory_mb: float, threads: Executor | None = None
    ) -> None:
        self.detector = detector
        self.sharing = sharing
        self.memory_mb = memory_mb
        self.threads = threads

    def run(self, batch: Any, positions: Sequence[int]) -> PassResult:
        """The result of one batch, as the data loader gives it; `positions` are those of its images."""
        with torch.inference_mode():
            data = self.detector.data_preprocessor(batch, False)
            pyramid = self.detector.neck.project(self.detector.backbone(data["inputs"]))
            found: list[dict[int, Detections]] = [{} for _ in self.sharing.outputs]
            for indices, future in self._begun(pyramid, data):
                detections = future.result()
                for index in indices:
                    found[index] = {position: next(detections) for position in positions}
        truths = [ImageTruth.of(sample.to_dict()) for sample in data["data_samples"]]
        return PassResult(dict(zip(positions, truths, strict=True)), found)

    def _begun(
        self, pyramid: Sequence[Tensor], data: dict[str, Any]
    ) -> Iterator[tuple[list[int], Future[Iterator[Detections]]]]:
        """The heads' work, chunk by chunk of candidates, begun before the chunks before it have been asked for."""
        neck = self.detector.neck
        at_once = max(1, IMAGES_AT_ONCE[pyramid[0].device.type] // len(data["data_samples"]))
        outputs = run_population(neck, pyramid, self.sharing, self.memory_mb)
        begun: list[tuple[list[int], Future[Iterator[Detections]]]] = []
        while chunk := list(islice(outputs, at_once)):
            stacked = neck.extra_outputs(stack_pyramids([output for _, output in chunk]))
            future = _submit(self.threads, self._predict, stacked, data, len(chunk))
            begun.append(([index for index, _ in chunk], future))
            if len(begun) > MOST_THREADS:
                yield begun.pop(0)
        yield from begun

    def _predict(self, pyramid: Sequence[Tensor], data: dict[str, Any], num_candidates: int) -> Iterator[Detections]:
        """What the heads find, candidate by candidate and in each image by image."""
        # Threads do not share this mode.
        with torch.inference_mode():
            samples = [sample.new() for _ in range(num_candidates) for sample in data["data_samples"]]
            predicted = heads_on(self.detector, pyramid).predict(data["inputs"], samples)
            return iter([Detections.of(sample.pred_instances) for sample in predicted])


@contextmanager
def head_threads(device: torch.device) -> Iterator[Executor | None]:
    """Threads for heads to run in beside the neck: on the CPU as most of what heads do uses one core, else one."""
    count = min(MOST_THREADS, torch.get_num_threads()) if device.type == "cpu" else 1
    if device.type == "cpu" and count == 1:
        yield None
        return
    with ThreadPoolExecutor(count) as threads:
        yield threads


def _submit(threads: Executor | None, call: Any, *arguments: Any) -> Future[Any]:
    if threads is not None:
        return threads.submit(call, *arguments)
    done: Future[Any] = Future()
    done.set_result(call(*arguments))
    return done
