"""Searching a trained super-net: the strategy, the evaluator and the files together (section 3.2.2)."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import is_main_process
from torch import nn

from opanas_cli import __version__
from opanas_cli.atomic import write_atomically
from opanas_cli.detection.checkpoints import fingerprint
from opanas_cli.detection.configs.necks import search_space
from opanas_cli.detection.configs.parts import each_dataset, without
from opanas_cli.detection.configs.sections import section_of
from opanas_cli.detection.configs.stages import search_dataset
from opanas_cli.detection.costs.latency import latency_table
from opanas_cli.detection.costs.profiling import CostModel
from opanas_cli.detection.data.annotation_files import annotation_files, images_without_list
from opanas_cli.detection.evaluating.evaluator import SuperNetEvaluator
from opanas_cli.detection.evaluating.unfinished_pass import UnfinishedPass
from opanas_cli.detection.processes.group import from_first
from opanas_cli.detection.spent import SearchSpent
from opanas_cli.detection.super_net_file import super_net_for
from opanas_cli.errors import InvalidInputError, UsageError
from opanas_cli.formats import write_record
from opanas_cli.genotype import Genotype
from opanas_cli.search import (
    Candidate,
    Constraints,
    Cost,
    History,
    Progress,
    Resource,
    SearchResult,
    SearchSettings,
    StrategySettings,
    run_search,
    strategy_named,
)
from opanas_cli.search.findings import population_document, record_of
from opanas_cli.search.history import recorded_evaluation
from opanas_cli.search.latency_table import LatencyTable, with_latency
from opanas_cli.stage_settings import settings_of


@dataclass(frozen=True)
class SearchFiles:
    """What a search writes into its work dir."""

    best: Path
    history: Path
    population: Path
    latency: Path
    finalists: Path

    @classmethod
    def of(cls, work_dir: Path) -> SearchFiles:
        """The files in a work dir."""
        names = ("best.json", "history.jsonl", "population.json", "latency.json", "finalists.jsonl")
        return cls(*(work_dir / name for name in names))


@dataclass(frozen=True)
class SearchOptions:
    """What is asked of a search beside its config.

    `against` is what fitness is traded against. `search_split` evaluates on that part of the training images, at most
    what was held out from the super-net's training, by file or by folder as there; 0 evaluates on the validation set,
    None on all that was held out.
    """

    seed: int = 0
    strategy: str = "evolution"
    against: Resource = Resource.MACS
    constraints: Constraints = field(default_factory=Constraints)
    search_split: float | None = None
    resume: bool = False


@dataclass(frozen=True)
class SearchReports:
    """What a search calls as it goes.

    `candidate` gets each that has been evaluated; `images` the images done of a pass that evaluates a generation, those
    of the pass, and the candidates of the whole search; `check` the config, the split and the largest number of images,
    before they are read; `say` a line, before something that takes long.
    """

    candidate: Callable[[Progress], None] = lambda _: None
    images: Callable[[int, int, int], None] = lambda done, images, total: None
    check: Callable[[Config, float, int | None], None] = lambda config, split, max_images: None
    say: Callable[[str], None] = lambda line: None


def search_super_net(
    config: Config, super_net: Path, work_dir: Path, device: torch.device, asked: SearchOptions, reports: SearchReports
) -> SearchResult:
    """Search, and write ``history.jsonl`` as it goes, ``best.json`` and ``population.json`` at the end.

    If latency counts, ``latency.json`` is measured first, on this device, if it is not there.

    Raises:
        UsageError: the split holds images that the super-net was trained on, or a setting is out of range.
        InvalidCheckpointError: the file is not a super-net, or was trained for another task than the config's.
        InfeasibleError: no genotype meets the constraints.
        InvalidInputError: ``latency.json`` was measured under other conditions, or ``history.jsonl`` is broken.
        MissingDependencyError: the strategy needs a package that is not installed.
    """
    content, config = super_net_for(config, super_net)
    section = section_of(config, "search")
    split = checked_split(asked.search_split, content["meta"]["search_split"])
    sizes = (section.population, section.generations, section.top_k)
    budget = StrategySettings(*sizes, section.mutation_prob, asked.against)
    space = search_space(config)
    proposing = strategy_named(asked.strategy)(space, budget, asked.seed)
    reports.check(config, split, section.max_images)
    files = SearchFiles.of(work_dir)
    recorded = from_first(lambda: recorded_evaluation(files.history)) if asked.resume else {}
    section = replace(section, memory_mb=section.memory_mb or _memory_of(recorded, files.history))
    spent = SearchSpent(work_dir / "evolve", files.best, device, asked.resume)

    def on_images(done: int, images: int) -> None:
        spent.images(done, images)
        reports.images(done, images, budget.budget)

    def on_candidate(progress: Progress) -> None:
        spent.candidate(progress)
        reports.candidate(progress)

    evaluator = SuperNetEvaluator(
        config,
        content.get("state_dict"),
        super_net,
        split,
        device,
        section,
        on_images,
    )
    evaluation = _facts(config, super_net, content["meta"]["classes"], split, evaluator)
    cost_of: Callable[[Genotype], Cost] = CostModel(config)
    if asked.against is Resource.LATENCY or asked.constraints.max_latency_ms is not None:
        table = _latency_table(files.latency, evaluator.detector, config, device, reports.say)
        cost_of = with_latency(cost_of, table)
        evaluation["latency_table"] = table.digest
    search = SearchSettings(space, asked.strategy, budget, asked.seed, asked.constraints, section.metric, evaluation)
    history = _history(files.history, search, asked.resume)
    evaluator.unfinished = UnfinishedPass(work_dir / "evolve", json.dumps(search.document()))
    try:
        result = run_search(
            proposing,
            evaluator,
            cost_of,
            asked.constraints,
            history,
            metric=search.metric,
            batch_size=budget.population,
            on_progress=on_candidate,
        )
    finally:
        if not history.recorded and is_main_process():  # Nothing to resume; it would only block the next search.
            files.history.unlink(missing_ok=True)
    stages = {"train-supernet": content["meta"].get("spent"), "evolve": spent.total().document()}
    if is_main_process():
        _write(result, search, super_net, files, {name: cost for name, cost in stages.items() if cost})
    spent.delete()
    evaluator.unfinished.delete()
    return result


def _memory_of(evaluation: dict[str, Any], path: Path) -> float | None:
    memory_mb, check = evaluation.get("memory_mb"), settings_of("search")["memory_mb"].metadata["check"]
    if not check.holds(memory_mb):
        what = f"evaluation.memory_mb must be {check.wanted}, but got {memory_mb!r:.40}"
        raise InvalidInputError(f"{path}: line 1: {what}; choose another --work-dir")
    return memory_mb


def _facts(
    config: Config, super_net: Path, classes: list[str], split: float, evaluator: SuperNetEvaluator
) -> dict[str, Any]:
    """What a fitness depends on besides the genotype, as JSON-able values."""
    decisive = {
        "model": without(config.model, {"train_cfg", "init_cfg"}),
        "dataset": without(search_dataset(config, split, None).dataset, {"data_root"}),
    }
    return {
        "super_net": fingerprint(super_net),
        "search_split": split,
        "split_by": section_of(config, "supernet").split_by,
        "num_images": evaluator.num_images,
        "annotations": from_first(lambda: _annotations(config, split)),
        "classes": classes,
        **json.loads(json.dumps(decisive, default=repr)),
        **({"halving": True} if evaluator.section.halving else {}),
        "batch_size": evaluator.section.batch_size,
        "device": evaluator.device.type,
        "memory_mb": evaluator.memory_mb,
    }


def _write(
    result: SearchResult, search: SearchSettings, super_net: Path, files: SearchFiles, spent: dict[str, Any]
) -> None:
    """Write the winner with the costs of the stages that led to it, and the population with the Pareto front."""
    provenance = {"opanas_version": __version__, "super_net": str(super_net), "search": search.document()}
    write_record(record_of(result.best, provenance, spent=spent), files.best)
    document = population_document(result.population, result.front, search.budget.against, search.metric, provenance)
    write_atomically(files.population, json.dumps(document, indent=2) + "\n")


def _latency_table(
    path: Path, detector: nn.Module, config: Config, device: torch.device, say: Callable[[str], None]
) -> LatencyTable:
    """The latency table of the first process, in every process."""
    if not path.exists():
        say(f"measuring latencies; writing them to {path}")
    return from_first(lambda: latency_table(path, detector, config, device))


def _history(path: Path, search: SearchSettings, resume: bool) -> History:
    """The history of this process: the first one's is the file, the others get what that held."""
    opened: list[History] = []

    def open_file() -> list[Candidate]:
        opened.append((History.resume if resume else History.create)(path, search))
        return opened[0].recorded

    recorded = from_first(open_file)
    return opened[0] if opened else History(recorded)


def _annotations(config: Config, search_split: float) -> dict[str, str]:
    """The fingerprints of the files with the annotations of the images, by the data sets' `ann_file`."""
    files: dict[str, list[Path]] = {}
    names: dict[str, list[str]] = {}
    for dataset in each_dataset(config.train_dataloader if search_split else config.val_dataloader):
        files.setdefault(dataset["ann_file"], []).extend(annotation_files(dataset))
        names.setdefault(dataset["ann_file"], []).extend(images_without_list(dataset))
    return {name: fingerprint(*paths, names=names[name]) for name, paths in files.items()}


def checked_split(asked: float | None, held_out: float) -> float:
    """The part of the training images to evaluate on, 0 for the validation set; UsageError if it was not held out."""
    if asked is None and not held_out:
        raise UsageError(
            "--search-split: no images were held out when the super-net was trained; add --search-split 0 to search on "
            "the validation set"
        )
    if asked is None:
        return held_out
    if asked > held_out:
        raise UsageError(
            f"--search-split: got {asked} of the training images, but the super-net's training held out {held_out}; "
            f"choose at most that, or train with --search-split {asked}"
        )
    return asked
