"""``opanas quickstart``: every step on generated images."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from opanas_cli.commands.console import Console, SearchProgress
from opanas_cli.commands.options import RunOptions, run_options
from opanas_cli.commands.several_processes import OneProcessCommand
from opanas_cli.commands.work_dir_lock import work_dir_lock

CONFIG = "shapes"
SUMMARY = "quickstart.json"


@click.command(cls=OneProcessCommand)
@run_options("runs/quickstart", resume=False)
def quickstart(run: RunOptions, console: Console) -> None:
    """Run every step on generated images. Takes minutes on two CPU cores; downloads nothing.

    Generates a data set of shapes, trains a small super-net, evolves it, draws and exports the winner, and trains the
    winner and an FPN of the same MACs with the same schedule. Reads nothing; writes everything into the work dir. What
    an earlier run left there is replaced.

    \b
    Example:
      opanas quickstart --work-dir runs/quickstart
    """
    folder = run.folder("quickstart")
    console.say("loading torch and mmdet …")
    from opanas_cli.atomic import write_atomically
    from opanas_cli.detection.configs.files import load_config
    from opanas_cli.detection.data.shapes import generate_shapes
    from opanas_cli.detection.exporting.detector_config import export_config, exported_text
    from opanas_cli.detection.processes.devices import select_device
    from opanas_cli.detection.searching import SearchFiles, SearchOptions, SearchReports, search_super_net
    from opanas_cli.detection.training.networks import baseline_config, whole_config
    from opanas_cli.detection.training.retraining import train_detector
    from opanas_cli.detection.training.run_checkpoints import forget_run
    from opanas_cli.detection.training.supernet_training import train_super_net
    from opanas_cli.drawing import Diagram, draw
    from opanas_cli.formats import read_record
    from opanas_cli.formats.text import line_of

    device = select_device(run.device)
    overrides = (*run.cfg_options, f"data_root={folder / 'data'}")
    found, exported = SearchFiles.of(folder), folder / "winner.py"
    files: dict[str, Path] = {"data": folder / "data"}
    seconds: dict[str, float] = {}

    @contextmanager
    def timed(step: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        seconds[step] = round(time.monotonic() - started, 1)

    with work_dir_lock(folder):
        with timed("data"):
            console.say("generating images of shapes")
            generate_shapes(folder / "data", seed=run.seed)
            config = load_config(CONFIG, overrides)
        forget_run(folder / "train-supernet")
        with timed("train-supernet"), console.training("super-net") as on_step:
            files["super-net"] = train_super_net(config, folder, run.seed, device, on_step=on_step).path
        for old in (found.history, folder / SUMMARY):
            old.unlink(missing_ok=True)
        with timed("evolve"), console.progress("search") as report:
            shown = SearchProgress(report)
            reports = SearchReports(shown.candidate, shown.images)
            search_super_net(config, files["super-net"], folder, device, SearchOptions(run.seed), reports)
        files.update(genotype=found.best, population=found.population, history=found.history)
        winner = read_record(found.best).genotype
        with timed("draw"):
            files["drawing"] = draw([Diagram.of(winner, "winner")], folder / "winner.svg")
        with timed("export"):
            write_atomically(exported, exported_text(export_config(winner, CONFIG, overrides=overrides)))
        files["config"] = exported
        stages = {"winner": whole_config(load_config(str(exported))), "fpn": baseline_config(config, winner)}
        trained = {}
        for name, stage in stages.items():
            forget_run(folder / name / "retrain")
            with timed(f"retrain {name}"), console.training(f"retrain {name}") as on_step:
                trained[name] = train_detector(stage, folder / name, run.seed, device, on_step=on_step)
            files[f"{name} detector"] = trained[name].path
    seconds["total"] = round(sum(seconds.values()), 1)
    _show(console, trained, {"winner": line_of(winner), "fpn": None}, seconds, files | {"summary": folder / SUMMARY})


def _show(
    console: Console,
    trained: Mapping[str, Any],
    genotypes: Mapping[str, str | None],
    seconds: Mapping[str, float],
    files: Mapping[str, Path],
) -> None:
    """Write the summary, and show it as a table with all files."""
    from opanas_cli.atomic import write_atomically

    document: dict[str, Any] = {
        name: {
            "ap": detector.metrics["AP"],
            "ap50": detector.metrics["AP50"],
            "macs": detector.cost.macs,
            "params": detector.cost.params,
            "genotype": genotypes[name],
        }
        for name, detector in trained.items()
    }
    rows = [f"{'':8}{'AP':>8}{'AP50':>8}{'MACs':>10}{'params':>10}"]
    for name, row in document.items():
        rows.append(f"{name:8}{row['ap']:8.3f}{row['ap50']:8.3f}{row['macs'] / 1e6:8.1f} M{row['params'] / 1e6:8.2f} M")
    rows.append(f"winner: {genotypes['winner']}")
    rows.append("seconds: " + ", ".join(f"{step} {value:.0f}" for step, value in seconds.items()))
    document["seconds"] = seconds
    write_atomically(files["summary"], json.dumps({"version": 1, **document}, indent=2) + "\n")
    console.result("\n".join(rows), document, files)
