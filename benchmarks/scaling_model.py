"""What bounds a super-net step and an evaluation on many processes, modelled from what one process measured.

A step on n processes takes

    step + 2 (n - 1) / n · bytes / bandwidth + 2 (n - 1) · latency + spread · √(2 ln n) · step

where bytes are those of the gradients, sent around a ring once the backward pass is over; of several machines, within
each first, and then each machine's share across the network. The last term is the wait for the slowest of n processes
whose steps differ by a relative standard deviation `spread`, measured. An evaluation on n processes takes

    ⌈batches / n⌉ · (pass per batch) + (bytes of the detections) / bandwidth + (indexing the truth) + scoring / n

because processes share out whole batches, each brings together and scores its share of the candidates, and all index
the truth. What remains to be lost beside the terms is the sharing of a machine: memory, caches, power and, on a CPU,
cores that are half of one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

MODELLED = (1, 2, 8, 64)
PER_MACHINE = 8
BATCH = 8
"""Images of a batch of an evaluation."""

BYTES_PER_DETECTION = 4 * (4 + 1) + 8
"""A box and a score in float32, and a label."""


@dataclass(frozen=True)
class Measured:
    """What one process measured; `evaluation_seconds` are those of `images` images, truth and scoring in them."""

    gradient_mb: float
    step_seconds: float
    step_spread: float
    evaluation_seconds: float
    truth_seconds: float
    scoring_seconds: float
    population: int
    images: int


@dataclass(frozen=True)
class Links:
    """What joins the processes: GB/s that a device sends to its neighbour within a machine, GB/s of a machine's
    connection to the network, and microseconds of a message."""

    device_gb: float
    network_gb: float
    latency_us: float

    def all_reduce_seconds(self, size: float, processes: int) -> float:
        """The time to sum `size` bytes over all processes."""
        within, machines = min(processes, PER_MACHINE), math.ceil(processes / PER_MACHINE)
        return self._ring(size, within, self.device_gb) + self._ring(size, machines, self.network_gb)

    def _ring(self, size: float, members: int, gigabytes: float) -> float:
        return 2 * (members - 1) / members * size / (gigabytes * 1e9) + 2 * (members - 1) * self.latency_us * 1e-6

    def gather_seconds(self, size: float, processes: int) -> float:
        """The time to bring `size` bytes, spread over all processes, to those that score them."""
        if processes == 1:
            return 0.0
        machines = math.ceil(processes / PER_MACHINE)
        slowest = self.device_gb * processes if machines == 1 else self.network_gb * machines
        return size / (slowest * 1e9) + processes * self.latency_us * 1e-6


def modelled(alone: Measured, links: Links, images: int, detections: int) -> list[dict[str, float]]:
    """The parts of a step and of an evaluation on more processes, in seconds, and their efficiency."""
    step = alone.step_seconds
    more = images / alone.images
    truth, scoring = more * alone.truth_seconds, more * alone.scoring_seconds
    passing = more * alone.evaluation_seconds - truth - scoring
    batches = math.ceil(images / BATCH)
    found = alone.population * images * detections * BYTES_PER_DETECTION
    table = []
    for processes in MODELLED:
        reducing = links.all_reduce_seconds(1e6 * alone.gradient_mb, processes)
        waiting = step * alone.step_spread * math.sqrt(2 * math.log(processes))
        gathering = links.gather_seconds(found, processes)
        most_candidates = math.ceil(alone.population / processes) / alone.population
        own_passing = passing * math.ceil(batches / processes) / batches
        evaluating = own_passing + gathering + truth + scoring * most_candidates
        table.append(
            {
                "processes": processes,
                "all_reduce_seconds": reducing,
                "waiting_seconds": waiting,
                "step_efficiency": step / (step + reducing + waiting),
                "pass_seconds": own_passing,
                "gather_seconds": gathering,
                "truth_seconds": truth,
                "scoring_seconds": scoring * most_candidates,
                "evaluation_efficiency": (passing + truth + scoring) / processes / evaluating,
            }
        )
    return table
