"""``opanas train-supernet``: train the super-net of a config."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from opanas_cli.commands.common.console import Console, Result
from opanas_cli.commands.common.options import NAME_OR_FILE, RunOptions, run_options, setting_option
from opanas_cli.commands.common.several_processes import SeveralProcessesCommand
from opanas_cli.commands.common.summary import Part
from opanas_cli.commands.common.work_dir_lock import work_dir_lock


@click.command(cls=SeveralProcessesCommand)
@click.argument("config", type=NAME_OR_FILE)
@setting_option("supernet", "method")
@setting_option("supernet", "search_split")
@setting_option("supernet", "amp")
@run_options()
def train_supernet(config: str, run: RunOptions, console: Console) -> None:
    """Train the super-net of CONFIG once, by strict fair sampling of its information paths or by another method.

    Reads CONFIG, an mmengine config or the name of a shipped one (coco, voc, custom, custom-small, shapes), and its
    data set.
    Writes supernet.pth (weights, edge importances, provenance, cost) and the log into the work dir. The methods darts
    and fair-darts find a genotype without evolve, and write it as best.json.

    \b
    Example:
      opanas train-supernet custom --cfg-options data_root=/data/cells classes=RBC,WBC,Platelets
    """
    folder = run.folder(config)
    from opanas_cli.detection.configs.data_checks import check_data
    from opanas_cli.detection.configs.files import load_config
    from opanas_cli.detection.configs.stages import super_net_stage
    from opanas_cli.detection.processes.devices import select_device

    device = select_device(run.device)
    settings = load_config(config, run.cfg_options)
    super_net_stage(settings, run.seed)  # Refuses what cannot be trained before it reads the data.
    check_data(settings, ["train"], console.warn, console.say)
    with work_dir_lock(folder):
        result = trained_super_net(settings, folder, run.seed, device, run.resume, console)
    console.result(*result)


def trained_super_net(config: Any, folder: Path, seed: int, device: Any, resume: bool, console: Console) -> Result:
    """Train the super-net of a config that has been checked, and say what came out."""
    from opanas_cli.detection.training.supernet_training import train_super_net

    with console.training("super-net") as on_step:
        trained = train_super_net(config, folder, seed, device, resume, on_step)
    if trained.found:
        console.say_finished(trained.path)
    written = {"super-net": trained.path, "log": folder / "train-supernet"}
    if trained.genotype is not None:
        written["best"] = trained.best
    if not trained.alive:
        console.warn("the strongest paths alone have no output; the genotype is the most probable one that has")
    return Result(
        f"trained {trained.steps} steps; loss {trained.loss_at_start:.3f} at the start, {trained.loss_at_end:.3f} at "
        f"the end (means of up to 10 steps){_watched(trained)}{_genotype(trained)}",
        {
            "steps": trained.steps,
            "loss_at_start": trained.loss_at_start,
            "loss_at_end": trained.loss_at_end,
            "edge_importance": trained.edge_importance,
            "watched": trained.watched,
            "genotype": _line(trained),
            "spent": trained.spent.document(),
        },
        written,
        [_part(trained)],
    )


def _part(trained: Any) -> Part:
    last = trained.watched[-1] if trained.watched else {"AP": None}
    *_, metric = last
    return Part("super-net", trained.path, [trained.spent.document()], last[metric], metric.replace("_", " "))


def _line(trained: Any) -> str | None:
    from opanas_cli.formats.text import line_of

    return None if trained.genotype is None else line_of(trained.genotype)


def _genotype(trained: Any) -> str:
    """The strongest path of each edge, as a line of its own."""
    line = _line(trained)
    return "" if line is None else f"\nthe strongest path of each edge: {line}"


def _watched(trained: Any) -> str:
    """The mean of the sub-nets at each evaluation, as a line of its own."""
    if not trained.watched:
        return ""
    *_, name = trained.watched[-1]
    means = ", ".join(f"{watch[name]:.4f} after epoch {watch['epoch']}" for watch in trained.watched)
    return f"\n{name.replace('_', ' ')} of random sub-nets: {means}"
