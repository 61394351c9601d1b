"""``opanas search``: all stages of a search in one go."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import click

from opanas_cli.commands.common.console import Console, Result
from opanas_cli.commands.common.options import (
    NAME_OR_FILE,
    NECKS,
    SEARCH_SPLIT,
    RunOptions,
    limit_options,
    run_options,
)
from opanas_cli.commands.common.several_processes import SeveralProcessesCommand, is_follower, num_processes
from opanas_cli.commands.common.work_dir_lock import work_dir_lock
from opanas_cli.commands.compare import SEEDS, compared
from opanas_cli.commands.evolve import evolved
from opanas_cli.commands.retrain import trained_detector
from opanas_cli.commands.train_supernet import trained_super_net
from opanas_cli.errors import UsageError
from opanas_cli.stage_settings import MIXED

SUMMARY = "search.json"
TRACES = (
    "supernet.pth",
    "train-supernet/step_*.pth",
    "history.jsonl",
    "best.json",
    "evolve/*",
    "finalists.jsonl",
    "finalists/*/detector.pth",
    "finalists/*/retrain/step_*.pth",
    "detector.pth",
    "comparison.jsonl",
    "retrain/step_*.pth",
    "*-[0-9]*/detector.pth",
    "*-[0-9]*/retrain/step_*.pth",
)
"""The files from which the stages go on."""


class Asked(NamedTuple):
    """What is asked of a search beside its config.

    Limits on the winner, the part of the images that candidates are evaluated on, and what the winner is compared with
    how often.
    """

    constraints: Any = None
    search_split: float | None = None
    against: str | None = None
    seeds: int = 1


@click.command(cls=SeveralProcessesCommand)
@click.argument("config", type=NAME_OR_FILE)
@limit_options
@click.option(
    "--against",
    metavar="LIST",
    help="Compare the winner with these instead of training it once: " + ", ".join(NECKS) + ", random:N, genotypes.",
)
@click.option("--seeds", type=click.IntRange(1), help=f"Trainings of each with --against.  [default: {SEEDS}]")
@SEARCH_SPLIT
@run_options()
def search(
    config: str,
    constraints: Any,
    against: str | None,
    seeds: int | None,
    search_split: float | None,
    run: RunOptions,
    console: Console,
) -> None:
    """Train the super-net of CONFIG, search it, and train the winner: all stages in one go.

    Reads CONFIG, an mmengine config or the name of a shipped one, and its data set. Writes into the work dir what
    train-supernet, evolve and retrain write, or compare with --against; the winner as winner.svg and winner.py, a
    config of its own; and search.json, the summary. --resume goes on with the stage that was cut.

    \b
    Example:
      opanas search cells.py --against fpn --seeds 3
    """
    if seeds is not None and against is None:
        raise UsageError("--seeds: without --against the winner is trained once; name what to compare it with")
    if against is not None and num_processes() > 1:
        raise UsageError("--against: the trainings of a comparison take one process each; run opanas compare for them")
    folder = run.folder(config)
    from opanas_cli.detection.configs.data_checks import check_data
    from opanas_cli.detection.configs.files import load_config
    from opanas_cli.detection.configs.sections import section_of
    from opanas_cli.detection.configs.stages import search_dataset, super_net_stage
    from opanas_cli.detection.experiments.contenders import check_contenders
    from opanas_cli.detection.processes.devices import select_device
    from opanas_cli.detection.processes.group import from_first
    from opanas_cli.detection.searching import checked_split

    device = select_device(run.device)
    settings = load_config(config, run.cfg_options)
    super_net_stage(settings, run.seed)  # Refuses what cannot be trained before it reads the data.
    search_dataset(settings, 0.0, None)  # It needs the validation set's pipeline.
    training = section_of(settings, "supernet")
    if training.method in MIXED and (str(constraints) or search_split is not None):
        raise UsageError(
            f"supernet.method: {training.method} names one genotype and compares none, so that it heeds no limits and "
            "no --search-split; leave them out, or take the method fair or spos"
        )
    if search_split != 0 and not training.search_split:
        raise UsageError(
            "supernet.search_split: is 0, so that no images are held out to search on; set it above 0, or search on "
            "the validation set with --search-split 0"
        )
    checked_split(search_split, training.search_split)
    if against is not None:
        check_contenders(settings, "winner", against.split(","))
    with work_dir_lock(folder):
        if not run.resume:
            from_first(lambda: _require_none(folder))
        parts = ["train", "test"] if search_split != 0 else ["train", "val", "test"]
        check_data(settings, parts, console.warn, console.say)
        asked = Asked(constraints, search_split, against, seeds or SEEDS)
        console.result(*search_and_train(config, settings, folder, run, device, asked, console))


def _require_none(folder: Path) -> None:
    for path in _traces(folder):
        raise UsageError(f"{path}: already exists; add --resume to continue, or choose another --work-dir")


def forget_search(folder: Path) -> None:
    """Delete what a search in this work dir would go on from."""
    for path in _traces(folder):
        path.unlink()


def _traces(folder: Path) -> Iterator[Path]:
    return (path for pattern in TRACES for path in folder.glob(pattern) if path.is_file())


def search_and_train(
    name: str, config: Any, folder: Path, run: RunOptions, device: Any, asked: Asked, console: Console
) -> Result:
    """Run the stages of a search in a work dir, each from where an earlier run has left it.

    Args:
        name: of the config, which is `config` with the overrides of `run`.
    """
    from opanas_cli.detection.experiments.contenders import contenders
    from opanas_cli.detection.searching import SearchFiles, SearchOptions
    from opanas_cli.detection.training.networks import sub_net_config
    from opanas_cli.formats import read_record
    from opanas_cli.formats.text import line_of
    from opanas_cli.search import Constraints

    before = _summary_before(folder) if run.resume else {}
    seconds = _seconds_of(before)
    # What a finished search has found stays if it is asked for something else and refuses.
    timed_in = folder if "winner" not in before else None
    last = "retrain" if asked.against is None else "compare"
    stages: dict[str, Result] = {}
    with console.stages("super-net", "search", "detector" if asked.against is None else "trainings"):
        with _timed("train-supernet", seconds, timed_in):
            stages["train-supernet"] = trained_super_net(config, folder, run.seed, device, True, console)
        if stages["train-supernet"].document["genotype"] is None:
            with _timed("evolve", seconds, timed_in):
                limits = asked.constraints or Constraints()
                options = SearchOptions(run.seed, constraints=limits, search_split=asked.search_split, resume=True)
                stages["evolve"] = evolved(config, folder / "supernet.pth", folder, device, options, console)
        winner = read_record(SearchFiles.of(folder).best).genotype
        files = _written_winner(winner, name, folder, run.cfg_options)
        with _timed(last, seconds, timed_in):
            if asked.against is None:
                stage = sub_net_config(config, winner)
                stages[last] = trained_detector(stage, folder, run.seed, device, True, console)
            else:
                networks = contenders(config, winner, "winner", asked.against.split(","), run.seed)
                chosen = range(run.seed, run.seed + asked.seeds)
                stages[last] = compared(config, networks, chosen, folder, device, True, console)
    seconds["total"] = round(sum(value for stage, value in seconds.items() if stage != "total"), 1)
    document = {
        "winner": line_of(winner),
        "stages": {stage: result.whole_document() for stage, result in stages.items()},
        "seconds": seconds,
    }
    _write(folder, document)
    for stage, result in stages.items():
        files |= {f"{stage} log" if kind == "log" else kind: path for kind, path in result.files.items()}
    spent = ", ".join(f"{stage} {value:.0f}" for stage, value in seconds.items())
    lines = f"{stages[last].lines}\nwinner: {line_of(winner)}\nseconds: {spent}"
    parts = chain.from_iterable(result.parts for result in stages.values())
    return Result(lines, document, files | {"summary": folder / SUMMARY}, parts)


def _written_winner(winner: Any, name: str, folder: Path, overrides: tuple[str, ...]) -> dict[str, Path]:
    """The winner as a drawing and as a config of its own."""
    from opanas_cli.atomic import write_atomically
    from opanas_cli.detection.exporting.detector_config import export_config, exported_text
    from opanas_cli.drawing import Diagram, draw

    files = {"config": folder / "winner.py", "drawing": folder / "winner.svg"}
    if not is_follower():
        draw([Diagram.of(winner, "winner")], files["drawing"])
        write_atomically(files["config"], exported_text(export_config(winner, name, overrides=overrides)))
    return files


@contextmanager
def _timed(stage: str, seconds: dict[str, float], folder: Path | None) -> Iterator[None]:
    """Add what the block takes to the seconds of a stage.

    They are written to a folder, if one is given and the stage was begun, also if the block is interrupted.
    """
    from opanas_cli.detection.processes.group import from_first

    before, started = seconds.get(stage, 0.0), time.monotonic()
    try:
        yield
        from_first(lambda: None)  # The others wait, and find what it has written.
    finally:
        seconds[stage] = round(before + time.monotonic() - started, 1)
        if folder and any(_traces(folder)):
            _write(folder, {"seconds": seconds})


def _write(folder: Path, document: dict[str, Any]) -> None:
    from opanas_cli.atomic import write_atomically

    if not is_follower():
        write_atomically(folder / SUMMARY, json.dumps({"version": 1, **document}, indent=2) + "\n")


def _summary_before(folder: Path) -> dict[str, Any]:
    """What an earlier run wrote; nothing if that is not known."""
    from opanas_cli.regular_files import read_regular

    with suppress(OSError, ValueError):
        document = json.loads(read_regular(folder / SUMMARY))
        return document if isinstance(document, dict) else {}
    return {}


def _seconds_of(document: dict[str, Any]) -> dict[str, float]:
    """What the stages took; nothing if that is not known."""
    with suppress(ValueError, LookupError, AttributeError, TypeError):
        return {str(stage): float(value) for stage, value in document["seconds"].items() if stage != "total"}
    return {}
