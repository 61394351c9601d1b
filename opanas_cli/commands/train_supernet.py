"""``opanas train-supernet``: train the super-net of a config."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from opanas_cli.commands.console import Console
from opanas_cli.commands.options import chosen_work_dir, run_options, setting_option, work_dir_option
from opanas_cli.commands.several_processes import SeveralProcessesCommand
from opanas_cli.commands.work_dir_lock import work_dir_lock


@click.command(cls=SeveralProcessesCommand, short_help="Train the super-net of a config by fair sampling.")
@click.argument("config")
@work_dir_option
@setting_option("supernet", "search_split")
@setting_option("supernet", "amp")
@run_options
def train_supernet(
    config: str,
    work_dir: Path | None,
    search_split: float | None,
    amp: bool,
    seed: int,
    device: str,
    resume: bool,
    cfg_options: tuple[str, ...],
    as_json: bool,
    debug: bool,
    quiet: bool,
) -> None:
    """Train the super-net of CONFIG once, by strict fair sampling of its information paths.

    Reads CONFIG, an mmengine config or the name of a shipped one (coco, voc, custom, custom-small, shapes), and its
    data set.
    Writes supernet.pth (weights, edge importances, provenance) and the log into the work dir.

    \b
    Example:
      opanas train-supernet custom --cfg-options data_root=/data/cells classes=RBC,WBC,Platelets
    """
    console = Console(quiet, as_json)
    folder = chosen_work_dir(work_dir, config)
    from opanas_cli.detection.configs.data_checks import check_data
    from opanas_cli.detection.configs.files import load_config
    from opanas_cli.detection.processes.devices import select_device
    from opanas_cli.detection.training.supernet_training import train_super_net

    target = select_device(device)
    split = () if search_split is None else (f"supernet.search_split={search_split}",)
    precision = ("supernet.amp=True",) if amp else ()
    settings = load_config(config, (*cfg_options, *split, *precision))
    check_data(settings, ["train"], console.warn, console.say)
    with work_dir_lock(folder), console.progress("super-net") as report:
        trained = train_super_net(
            settings,
            folder,
            seed,
            target,
            resume,
            lambda step: report(step.step, step.steps, f"epoch {step.epoch}/{step.epochs}, loss {step.loss:.3f}"),
        )
    if trained.found:
        console.say(f"{trained.path}: is already finished; nothing to do")
    console.result(
        f"trained {trained.steps} steps; {_losses(trained)}{_watched(trained)}",
        {
            "steps": trained.steps,
            "loss_at_start": trained.loss_at_start,
            "loss_at_end": trained.loss_at_end,
            "edge_importance": trained.edge_importance,
            "watched": trained.watched,
        },
        {"super-net": trained.path, "log": folder / "train-supernet"},
    )


def _losses(trained: Any) -> str:
    start, end = trained.loss_at_start, trained.loss_at_end
    return f"loss {start:.3f} at the start, {end:.3f} at the end (means of up to 10 steps)"


def _watched(trained: Any) -> str:
    """The mean of the sub-nets at each look, as a line of its own."""
    if not trained.watched:
        return ""
    *_, name = trained.watched[-1]
    looks = ", ".join(f"{watch[name]:.4f} after epoch {watch['epoch']}" for watch in trained.watched)
    return f"\n{name.replace('_', ' ')} of random sub-nets: {looks}"
