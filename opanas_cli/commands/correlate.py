"""``opanas correlate``: measure how well a super-net ranks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from opanas_cli.commands.common.console import Console
from opanas_cli.commands.common.options import NAME_OR_FILE, RunOptions, limit, run_options
from opanas_cli.commands.common.several_processes import OneProcessCommand
from opanas_cli.commands.common.summary import Part


@click.command(cls=OneProcessCommand)
@click.argument("config", type=NAME_OR_FILE)
@click.argument("supernet", type=click.Path(path_type=Path))
@click.option("--num", type=click.IntRange(3), default=30, show_default=True, help="Number of sub-nets to train.")
@click.option("--seeds", type=click.IntRange(1), default=1, show_default=True, help="Trainings of each sub-net.")
@click.option("--stratified", is_flag=True, help="Spread the sub-nets over the super-net's ranking.  [default: random]")
@click.option("--min-macs", metavar="QUANTITY", help="Minimum MACs of the detector, e.g. 190G.")
@click.option("--max-macs", metavar="QUANTITY", help="Maximum MACs of the detector, e.g. 200G.")
@run_options()
def correlate(
    config: str,
    supernet: Path,
    num: int,
    seeds: int,
    stratified: bool,
    min_macs: str | None,
    max_macs: str | None,
    run: RunOptions,
    console: Console,
) -> None:
    """Train sub-nets of SUPERNET alone, and correlate their AP with the super-net's AP and with their MACs.

    Reads CONFIG and SUPERNET, the supernet.pth of train-supernet. Each sub-net is trained by the `retrain` settings of
    CONFIG. Writes correlation.jsonl (a line for each training), correlation.json and correlation.svg into the work dir.
    With --resume, several processes may share the trainings of one work dir.

    \b
    Example:
      opanas correlate shapes runs/shapes/supernet.pth --num 30 --seeds 2
    """
    folder = run.folder(config)
    from opanas_cli.search import parse_quantity

    limits = limit("--min-macs", min_macs, parse_quantity), limit("--max-macs", max_macs, parse_quantity)
    from opanas_cli.detection.configs.data_checks import check_data
    from opanas_cli.detection.configs.files import load_config
    from opanas_cli.detection.experiments.correlating import Sampling
    from opanas_cli.detection.experiments.correlating import correlate as correlated
    from opanas_cli.detection.experiments.training_log import TrainingLog
    from opanas_cli.detection.experiments.trainings import ExperimentFiles
    from opanas_cli.detection.processes.devices import select_device
    from opanas_cli.drawing.charts import draw_correlation

    target = select_device(run.device)
    settings = load_config(config, run.cfg_options)
    check_data(settings, ["train", "test"], console.warn, console.say)
    sampling = Sampling(num, stratified, *limits)
    with console.progress("trainings") as report:
        document = correlated(settings, supernet, sampling, run.seed, seeds, folder, target, run.resume, report)
    files = ExperimentFiles.of(folder, "correlation")
    draw_correlation(document, files.chart)
    names = {network["genotype"] for network in document["networks"]}
    spent = [row.get("spent") for row in TrainingLog(files.rows).rows_of(names, document["seeds"])]
    _show(console, document, files, Part(f"sub-nets × {len(spent)}", files.rows, spent))


def _show(console: Console, document: dict[str, Any], files: Any, part: Part) -> None:
    from opanas_cli.statistics.estimate import Estimate

    def row(name: str, found: dict[str, Any]) -> str:
        columns = ("kendall", "spearman", "kendall_at_equal_macs")
        return f"{name:10}" + "".join(f"{Estimate.of(found[column])!s:>24}" for column in columns)

    lines = [
        f"{'':10}{'Kendall':>24}{'Spearman':>24}{'Kendall, MACs ±5 %':>24}",
        row("super-net", document["super_net"]),
        row("MACs", document["macs"]),
        f"{len(document['networks'])} networks, {document['pairs_of_equal_macs']} pairs of equal MACs; in brackets: "
        "95 % bootstrap intervals",
    ]
    if document["noise"] is not None:
        ceiling = Estimate.of(document["kendall_ceiling"])
        lines.append(
            f"between seeds {document['metric']} has a standard deviation of {document['noise']:.3f}, so no ranking "
            f"can be expected to reach a Kendall above {ceiling}"
        )
    written = {"correlation": files.summary, "chart": files.chart, "trainings": files.rows}
    console.result("\n".join(lines), document, written, [part])
