"""Whether a network is better than others of the same cost: trained alike, seed by seed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config

from opanas_cli.atomic import write_atomically
from opanas_cli.detection.configs.sections import section_of
from opanas_cli.detection.experiments.contenders import RANDOM_MEAN, Contender
from opanas_cli.detection.experiments.training_log import Row, TrainingLog
from opanas_cli.detection.experiments.trainings import ExperimentFiles, Report, Training, figure_of, run_trainings
from opanas_cli.statistics.estimate import Estimate
from opanas_cli.statistics.paired import paired_difference, verdict


@dataclass(frozen=True)
class Compared:
    """A network of a comparison, or the mean of the random ones.

    `figures` are those of the metric, one for each seed; `difference` is that of the first network over this one, None
    of the first itself.
    """

    name: str
    genotype: str | None
    macs: int
    params: int
    seconds: float | None
    figures: tuple[float, ...]
    difference: Estimate | None

    @property
    def mean(self) -> float:
        """Over the seeds."""
        return float(np.mean(self.figures))

    @property
    def deviation(self) -> float | None:
        """The standard deviation between the seeds; None of a single one."""
        return float(np.std(self.figures, ddof=1)) if len(self.figures) > 1 else None

    @property
    def verdict(self) -> str | None:
        """What the difference shows about the first network."""
        return None if self.difference is None else verdict(self.difference, len(self.figures))

    def document(self) -> dict[str, Any]:
        """The same as JSON-able values."""
        difference = None if self.difference is None else self.difference.document()
        derived = {"mean": self.mean, "deviation": self.deviation, "difference": difference, "verdict": self.verdict}
        return {**asdict(self), "figures": list(self.figures), **derived}


def compare(
    config: Config,
    networks: Sequence[Contender],
    seeds: Sequence[int],
    work_dir: Path,
    device: torch.device,
    resume: bool,
    report: Report = lambda done, total, text: None,
) -> dict[str, Any]:
    """Train each network by each seed, and write ``comparison.jsonl`` and ``comparison.json``.

    Args:
        networks: as `contenders` makes them; the first is compared with the others.
        resume: take the rows that there are, as of another process that shares the work.

    Returns:
        The document of ``comparison.json``.

    Raises:
        UsageError: there are rows and `resume` is not set, or they are of other trainings.
        InvalidConfigError: the metric that the config ranks by is not defined on the test split.
    """
    files = ExperimentFiles.of(work_dir, "comparison")
    log = TrainingLog(files.rows)
    if not resume:
        log.require_none()
    metric = section_of(config, "search").metric
    # Seed by seed, so that a comparison that is cut short has all networks.
    trainings = [
        Training(network.name, seed, network.config, {"genotype": network.genotype})
        for seed in seeds
        for network in networks
    ]
    rows = run_trainings(trainings, log, work_dir, device, keep_detectors=True, report=report)
    compared = _compared(config, networks, rows, metric)
    document = {"version": 1, "metric": metric, "seeds": list(seeds), "networks": [one.document() for one in compared]}
    write_atomically(files.summary, json.dumps(document, indent=2) + "\n")
    return document


def _compared(config: Config, networks: Sequence[Contender], rows: Sequence[Row], metric: str) -> list[Compared]:
    by_name = {network.name: [row for row in rows if row["network"] == network.name] for network in networks}
    figures = {name: tuple(figure_of(config, row, metric) for row in own) for name, own in by_name.items()}
    if len(drawn := [network.name for network in networks if network.drawn]) > 1:
        # Of each seed the mean over the random networks: what a genotype is worth that nobody chose.
        figures[RANDOM_MEAN] = tuple(np.mean([figures[name] for name in drawn], axis=0).tolist())
        by_name[RANDOM_MEAN] = [row for name in drawn for row in by_name[name]]
    first = next(iter(figures))
    return [
        Compared(
            name,
            None if name == RANDOM_MEAN and drawn else by_name[name][0]["genotype"],
            round(np.mean([row["macs"] for row in by_name[name]])),
            round(np.mean([row["params"] for row in by_name[name]])),
            _mean_seconds(by_name[name]),
            own,
            None if name == first else paired_difference(figures[first], own),
        )
        for name, own in figures.items()
    ]


def _mean_seconds(rows: Sequence[Row]) -> float | None:
    """Of one training; None if each was begun by another process."""
    known = [row["seconds"] for row in rows if row["seconds"] is not None]
    return float(np.mean(known)) if known else None
