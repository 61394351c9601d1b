"""How well a super-net ranks: sub-nets judged by its weights, and each trained alone (section 4.3.3)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config

from opanas_cli.atomic import write_atomically
from opanas_cli.detection.checkpoints import fingerprint
from opanas_cli.detection.configs.necks import search_space
from opanas_cli.detection.configs.sections import section_of
from opanas_cli.detection.costs.profiling import CostModel
from opanas_cli.detection.evaluating.evaluator import SuperNetEvaluator
from opanas_cli.detection.experiments.training_log import Row, TrainingLog
from opanas_cli.detection.experiments.trainings import ExperimentFiles, Report, Training, figure_of, run_trainings
from opanas_cli.detection.super_net_file import super_net_for
from opanas_cli.detection.training.networks import sub_net_config
from opanas_cli.errors import InfeasibleError, InvalidConfigError
from opanas_cli.formats.text import line_of
from opanas_cli.genotype import Genotype
from opanas_cli.genotype.architecture import Architecture
from opanas_cli.genotype.liveness import prune
from opanas_cli.search.strategies.operators import sample
from opanas_cli.statistics.estimate import bootstrapped
from opanas_cli.statistics.noise import kendall_ceiling, noise
from opanas_cli.statistics.rank_correlation import kendall, kendall_at_equal_cost, pairs_of_equal_cost, spearman

MAX_DRAWS = 10_000
STRATA_DRAWS = 10
"""How many genotypes are evaluated in the super-net for each that is trained, when they are chosen by its ranking."""


@dataclass(frozen=True)
class Sampling:
    """Which genotypes are trained.

    Args:
        num: how many, all different networks.
        stratified: spread over the super-net's ranking: one of each of `num` equal parts of it. Else random.
        min_macs, max_macs: the least and the most MACs of the detector; None for no limit.
    """

    num: int = 30
    stratified: bool = False
    min_macs: float | None = None
    max_macs: float | None = None


def correlate(
    config: Config,
    super_net: Path,
    sampling: Sampling,
    seed: int,
    num_seeds: int,
    work_dir: Path,
    device: torch.device,
    resume: bool,
    report: Report = lambda done, total, text: None,
) -> dict[str, Any]:
    """Train sub-nets alone, and write ``correlation.jsonl`` and ``correlation.json``.

    The super-net judges on the images held out from its training, or on the validation set if there are none.

    Args:
        seed: of the sampling, and the first of `num_seeds` by which each sub-net is trained.

    Returns:
        The document of ``correlation.json``.

    Raises:
        UsageError: there are rows and `resume` is not set, or they are of other trainings.
        InvalidCheckpointError: the super-net is none, or was trained for another task than the config's.
        InfeasibleError: too few genotypes are within the limits.
    """
    files = ExperimentFiles.of(work_dir, "correlation")
    log = TrainingLog(files.rows)
    if not resume:
        log.require_none()
    content, config = super_net_for(config, super_net)
    search = replace(section_of(config, "search"), halving=False)
    split = content["meta"]["search_split"]
    evaluator = SuperNetEvaluator(config, content["state_dict"], super_net, split, device, search)
    genotypes, judged = _chosen(config, evaluator, sampling, search.metric, np.random.default_rng(seed))
    del evaluator
    trainings = [
        Training(line_of(genotype), training_seed, sub_net_config(config, genotype), {})
        for training_seed in range(seed, seed + num_seeds)
        for genotype in genotypes
    ]
    rows = run_trainings(trainings, log, work_dir, device, keep_detectors=False, report=report)
    document = {
        "version": 1,
        "metric": search.metric,
        "super_net_fingerprint": fingerprint(super_net),
        "seeds": list(range(seed, seed + num_seeds)),
        **correlation_of(_networks(config, genotypes, judged, rows, search.metric)),
    }
    write_atomically(files.summary, json.dumps(document, indent=2) + "\n")
    return document


def correlation_of(networks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What networks show about a super-net, as JSON-able values.

    Args:
        networks: each with its `super_net` figure, its `macs`, and its figures `alone`, one for each seed.
    """
    judged, macs = ([network[key] for network in networks] for key in ("super_net", "macs"))
    groups = [network["alone"] for network in networks]
    alone = [float(np.mean(group)) for group in groups]
    correlations = {
        name: {
            "kendall": bootstrapped(kendall, [predicted, alone]).document(),
            "spearman": bootstrapped(spearman, [predicted, alone]).document(),
            "kendall_at_equal_macs": bootstrapped(kendall_at_equal_cost, [predicted, alone, macs]).document(),
        }
        for name, predicted in (("super_net", judged), ("macs", macs))
    }
    repeated = all(len(group) > 1 for group in groups)
    return {
        "networks": list(networks),
        **correlations,
        "pairs_of_equal_macs": int(pairs_of_equal_cost(np.array(macs, dtype=np.float64)).sum()),
        "noise": noise(groups) if repeated else None,
        "kendall_ceiling": kendall_ceiling(groups).document() if repeated else None,
    }


def _chosen(
    config: Config, evaluator: SuperNetEvaluator, sampling: Sampling, metric: str, rng: np.random.Generator
) -> tuple[list[Genotype], list[float]]:
    """The genotypes to train, and what the super-net judges of each."""
    count = sampling.num * (STRATA_DRAWS if sampling.stratified else 1)
    drawn = _drawn(config, count, sampling, rng)
    if len(drawn) < sampling.num:
        raise InfeasibleError(
            f"{config.filename}: {MAX_DRAWS:,} random genotypes hold {len(drawn)} different networks within the "
            f"limits, but {sampling.num} were asked for; ask for fewer, or widen the limits"
        )
    found = evaluator.evaluate(drawn)
    if any(metric not in one.metrics for one in found):
        raise InvalidConfigError(
            f"{config.filename}: search.metric: {metric} is not defined on the {evaluator.num_images} held-out images; "
            "choose another"
        )
    judged = [one.metrics[metric] for one in found]
    places: Sequence[int] = range(len(drawn))
    if sampling.stratified:
        strata = np.array_split(np.argsort(judged, kind="stable"), sampling.num)
        places = [int(rng.choice(stratum)) for stratum in strata]
    return [drawn[place] for place in places], [judged[place] for place in places]


def _drawn(config: Config, count: int, sampling: Sampling, rng: np.random.Generator) -> list[Genotype]:
    """Random genotypes within the limits, no two of one network; fewer if there are not so many."""
    space, cost_of = search_space(config), CostModel(config)
    low, high = sampling.min_macs or 0, sampling.max_macs or math.inf
    found: dict[Architecture, Genotype] = {}
    for _ in range(MAX_DRAWS):
        if len(found) == count:
            break
        genotype = prune(sample(space, rng))
        if low <= cost_of(genotype).macs <= high:
            found.setdefault(Architecture(genotype), genotype)
    return list(found.values())


def _networks(
    config: Config, genotypes: Sequence[Genotype], judged: Sequence[float], rows: Sequence[Row], metric: str
) -> list[dict[str, Any]]:
    found = []
    for genotype, figure in zip(genotypes, judged, strict=True):
        own = [row for row in rows if row["network"] == line_of(genotype)]
        alone = [figure_of(config, row, metric) for row in own]
        costs = {name: own[0][name] for name in ("macs", "params")}
        found.append({"genotype": line_of(genotype), **costs, "super_net": figure, "alone": alone})
    return found
