"""``opanas compare``: is a genotype better than others at the same cost?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from opanas_cli.commands.common.console import Console, Result
from opanas_cli.commands.common.options import NAME_OR_FILE, NECKS, RunOptions, run_options
from opanas_cli.commands.common.several_processes import OneProcessCommand
from opanas_cli.commands.common.summary import of_networks

SEEDS = 3
"""Trainings of each network, unless another number is asked for."""


@click.command(cls=OneProcessCommand)
@click.argument("config", type=NAME_OR_FILE)
@click.option(
    "--genotype",
    required=True,
    type=NAME_OR_FILE,
    metavar="GENOTYPE",
    help="A file, or the name of a shipped genotype.",
)
@click.option(
    "--against",
    required=True,
    metavar="LIST",
    help="Networks to compare it with, e.g. fpn,random:5,opa-fpn: baselines (" + ", ".join(NECKS) + "), N random "
    "genotypes of the space, or genotypes by name or file.",
)
@click.option("--seeds", type=click.IntRange(1), default=SEEDS, show_default=True, help="Trainings of each network.")
@run_options()
def compare(
    config: str,
    genotype: str,
    against: str,
    seeds: int,
    run: RunOptions,
    console: Console,
) -> None:
    """Train GENOTYPE and other networks at its MACs (±5 %), seed by seed, and report what the differences show.

    Reads CONFIG, the config of the super-net, whose `retrain` settings train all networks, and GENOTYPE. Writes
    comparison.jsonl (a line for each training), comparison.json, comparison.svg and a folder for each training into
    the work dir. With --resume, several processes may share the trainings of one work dir.

    \b
    Example:
      opanas compare coco --genotype runs/coco/best.json --against fpn,random:5 --seeds 3
    """
    folder = run.folder(config)
    from opanas_cli.formats import resolve_genotype

    chosen = resolve_genotype(genotype)
    from opanas_cli.detection.configs.data_checks import check_data
    from opanas_cli.detection.configs.files import load_config
    from opanas_cli.detection.experiments.contenders import contenders, name_of
    from opanas_cli.detection.processes.devices import select_device

    target = select_device(run.device)
    settings = load_config(config, run.cfg_options)
    networks = contenders(settings, chosen, name_of(genotype), against.split(","), run.seed)
    chosen_seeds = range(run.seed, run.seed + seeds)
    check_data(settings, ["train", "test"], console.warn, console.say)
    console.result(*compared(settings, networks, chosen_seeds, folder, target, run.resume, console))


def compared(
    config: Any, networks: Any, seeds: Sequence[int], folder: Path, device: Any, resume: bool, console: Console
) -> Result:
    """Train `contenders` of a config that has been checked by each seed, and say what the differences show."""
    from opanas_cli.detection.experiments import comparing
    from opanas_cli.detection.experiments.training_log import TrainingLog
    from opanas_cli.detection.experiments.trainings import ExperimentFiles
    from opanas_cli.drawing.charts import draw_comparison

    with console.progress("trainings") as report:
        document = comparing.compare(config, networks, seeds, folder, device, resume, report)
    files = ExperimentFiles.of(folder, "comparison")
    draw_comparison(document, files.chart)
    names = {network["name"] for network in document["networks"]}
    parts = of_networks(TrainingLog(files.rows).rows_of(names, seeds), files.rows, document["metric"])
    return _result(document, files)._replace(parts=parts)


def _result(document: dict[str, Any], files: Any) -> Result:
    networks = document["networks"]
    width = max(len(network["name"]) for network in networks)
    metric = document["metric"]
    lines = [f"{'':{width}}{metric:>18}{'G MACs':>10}{'M params':>10}{'seconds':>9}  {networks[0]['name']} is"]
    for network in networks:
        deviation = "" if network["deviation"] is None else f" ± {network['deviation']:.3f}"
        seconds = "-" if network["seconds"] is None else f"{network['seconds']:.0f}"
        figures = f"{network['mean']:>{18 - len(deviation)}.3f}{deviation}"
        costs = f"{network['macs'] / 1e9:>10.3f}{network['params'] / 1e6:>10.3f}{seconds:>9}"
        lines.append(f"{network['name']:{width}}{figures}{costs}  {network['verdict'] or ''}".rstrip())
    count = len(document["seeds"])
    lines.append(
        f"{count} seed{'s' if count > 1 else ''}: mean ± standard deviation of {metric} on the test split; in a "
        "verdict ± is half of the 95 % interval of the paired difference"
    )
    written = {"comparison": files.summary, "chart": files.chart, "trainings": files.rows}
    return Result("\n".join(lines), document, written)
