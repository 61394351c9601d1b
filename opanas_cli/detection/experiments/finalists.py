"""The final of a search: its best candidates trained alone, ever fewer for ever longer.

The paper trains the best candidate of the super-net only.
"""

from __future__ import annotations

import copy
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import is_main_process

from opanas_cli.detection.configs.sections import section_of
from opanas_cli.detection.configs.stages import search_dataset, training_part
from opanas_cli.detection.experiments.training_log import Row, TrainingLog
from opanas_cli.detection.experiments.trainings import Report, Training, figure_of, on_step_of
from opanas_cli.detection.processes.group import from_first
from opanas_cli.detection.searching import SearchFiles, SearchOptions
from opanas_cli.detection.spent import Spent
from opanas_cli.detection.super_net_file import super_net_for
from opanas_cli.detection.training.networks import sub_net_config
from opanas_cli.detection.training.retraining import train_detector
from opanas_cli.detection.training.run_checkpoints import forget_run
from opanas_cli.errors import LongerRunError
from opanas_cli.formats import write_record
from opanas_cli.formats.files import read_record
from opanas_cli.formats.text import line_of
from opanas_cli.search import Candidate, SearchResult, fittest
from opanas_cli.search.findings import architectures, record_of
from opanas_cli.search.rounds import epochs_of, last_rounds, rounds_of


def hold_final(
    config: Config,
    super_net: Path,
    result: SearchResult,
    asked: SearchOptions,
    work_dir: Path,
    device: torch.device,
    report: Report = lambda done, total, text: None,
) -> tuple[Candidate, list[dict[str, Any]]]:
    """Train the finalists of a search, and put the best of them into ``best.json``, with the rounds.

    Args:
        config, super_net, asked: those of the search.

    Returns:
        As `decide`, whose errors it raises.
    """
    content, config = super_net_for(config, super_net)
    split = 0.0 if asked.search_split == 0 else content["meta"]["search_split"]
    finalists = finalists_of(result.evaluated, section_of(config, "search").finalists)
    best, rounds = decide(config, finalists, split, work_dir, asked.seed, device, report)
    if is_main_process():
        path = SearchFiles.of(work_dir).best
        metadata = read_record(path).metadata
        provenance = {**metadata["provenance"], "finalists": rounds}
        cost = cost_of(TrainingLog(SearchFiles.of(work_dir).finalists).rows())
        spent = {**metadata["spent"], "finalists": cost.document()}
        write_record(record_of(best, provenance, spent=spent), path)
    return best, rounds


def cost_of(rows: Sequence[Row]) -> Spent:
    """The cost of finalists, of those of which it is known."""
    return sum((Spent.of(row["spent"] or {}) for row in last_rounds(rows)), Spent())


def finalists_of(candidates: Sequence[Candidate], count: int) -> list[Candidate]:
    """The fittest candidates of different architecture, best first."""
    return [group[0] for group in architectures(fittest(candidates, len(candidates))).values()][:count]


def decide(
    config: Config,
    finalists: Sequence[Candidate],
    split: float,
    work_dir: Path,
    seed: int,
    device: torch.device,
    report: Report = lambda done, total, text: None,
) -> tuple[Candidate, list[dict[str, Any]]]:
    """The finalist that does best when trained alone, and the rounds: ``epochs``, and the ``figures`` by genotype.

    A round trains all that are left for twice as many epochs as the round before, the last one for those of the section
    `retrain`, and drops the worse half. Finished trainings are rows of ``finalists.jsonl``; they are not run again.

    Args:
        config: that of the search; its `supernet.split_by` is the super-net's.
        split: the part of the training images that is tested on and not trained on; 0 tests on the validation set.

    Raises:
        OpanasError: a training fails.
        InvalidConfigError: the metric that the config ranks by is not defined on the images.
    """
    metric = section_of(config, "search").metric
    log = TrainingLog(SearchFiles.of(work_dir).finalists)
    folder = work_dir / "finalists"
    left, rounds = list(finalists), []
    plan = rounds_of(len(left), section_of(config, "retrain").epochs)
    total, before, had = epochs_of(plan), 0, 0
    for count, epochs in plan:
        left, rows = left[:count], []
        trainings = [_training(config, finalist, split, seed, epochs) for finalist in left]
        for training in trainings:
            rows.append(_row(training, log, folder, device, on_step_of(report, training, before - had, total)))
            before += epochs - had
        had = epochs
        figures = [figure_of(config, row, metric) for row in rows]
        networks = [training.network for training in trainings]
        rounds.append({"epochs": epochs, "figures": dict(zip(networks, figures, strict=True))})
        left = [left[place] for place in sorted(range(count), key=lambda place: -figures[place])]
    from_first(partial(shutil.rmtree, folder, ignore_errors=True))
    return left[0], rounds


def _training(config: Config, finalist: Candidate, split: float, seed: int, epochs: int) -> Training:
    """One of the first so many epochs, tested on the images of the search at the size that it trains on."""
    stage = sub_net_config(config, finalist.genotype)
    stage.train_cfg.max_epochs = epochs
    stage.train_cfg.val_interval = epochs + 1
    if split:
        stage.train_dataloader.dataset = training_part(config, stage.train_dataloader.dataset, split)
    tested = copy.deepcopy(config)
    tested.supernet = dict(tested.get("supernet") or {}, image_scale=section_of(config, "retrain").image_scale)
    stage.test_dataloader = dict(stage.val_dataloader, dataset=search_dataset(tested, split, None))
    stage.test_evaluator = dict(type="DetectionAP")
    return Training(line_of(finalist.genotype), seed, stage, {"epochs": epochs})


def _row(training: Training, log: TrainingLog, folder: Path, device: torch.device, on_step: Any) -> Row:
    """The row of a training, which goes on from the round before, or from where it was killed."""
    known = from_first(lambda: next((row for row in log.rows() if row["settings"] == training.settings), None))
    if known is not None:
        return known
    own = folder / training.name
    train = partial(train_detector, training.config, own, training.seed, device, True, on_step)
    try:
        trained = train()
    except LongerRunError:  # It is left by a search of fewer finalists, which are trained for longer at first.
        from_first(partial(forget_run, own / "retrain"))
        trained = train()
    spent = trained.spent and trained.spent.document()
    facts = {**training.identity, **training.facts}
    row = {**facts, "metrics": trained.metrics, **trained.cost.document(), "spent": spent}
    from_first(partial(log.add, row))
    return row
