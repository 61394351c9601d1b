"""``opanas retrain``: train one detector in full."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from opanas_cli.commands.console import Console
from opanas_cli.commands.options import chosen_work_dir, run_options, setting_option, work_dir_option
from opanas_cli.commands.several_processes import SeveralProcessesCommand
from opanas_cli.commands.work_dir_lock import work_dir_lock
from opanas_cli.errors import UsageError


@click.command(cls=SeveralProcessesCommand, short_help="Train a detector from scratch and report its AP.")
@click.argument("config")
@click.option("--genotype", metavar="GENOTYPE", help="The neck to train: a file, or the name of a shipped genotype.")
@click.option(
    "--neck",
    type=click.Choice(["opa", "fpn"]),
    default="opa",
    show_default=True,
    help="fpn trains the baseline instead: mmdet's FPN, of the width that costs as many MACs as the genotype.",
)
@click.option(
    "--inherit",
    type=click.Path(path_type=Path),
    metavar="SUPERNET",
    help="Start from the weights of this super-net, edge importances included.",
)
@work_dir_option
@setting_option("retrain", "amp")
@run_options
def retrain(
    config: str,
    genotype: str | None,
    neck: str,
    inherit: Path | None,
    work_dir: Path | None,
    amp: bool,
    seed: int,
    device: str,
    resume: bool,
    cfg_options: tuple[str, ...],
    as_json: bool,
    debug: bool,
    quiet: bool,
) -> None:
    """Train a detector in full by the `retrain` settings of CONFIG, and measure its AP on the test split.

    Reads CONFIG and GENOTYPE; or CONFIG alone, where opanas export wrote it. Writes detector.pth and the log into the
    work dir.

    \b
    Example:
      opanas retrain coco --genotype runs/coco/best.json --work-dir runs/coco-winner
    """
    console = Console(quiet, as_json)
    _check_usage(genotype, neck, inherit)
    folder = chosen_work_dir(work_dir, config)
    from opanas_cli.formats import resolve_genotype

    chosen = None if genotype is None else resolve_genotype(genotype)
    from opanas_cli.detection.configs.data_checks import check_data
    from opanas_cli.detection.configs.files import load_config
    from opanas_cli.detection.processes.devices import select_device
    from opanas_cli.detection.training.mixed_precision import use_mixed_precision
    from opanas_cli.detection.training.networks import baseline_config, inherited_weights, sub_net_config, whole_config
    from opanas_cli.detection.training.retraining import train_detector

    target = select_device(device)
    settings = load_config(config, cfg_options)
    if chosen is None:
        stage = whole_config(settings)
    elif neck == "fpn":
        stage = baseline_config(settings, chosen)
    else:
        stage = sub_net_config(settings, chosen, edge_importance=inherit is not None)
    if amp:
        use_mixed_precision(stage)
    check_data(settings, ["train", "test"], console.warn, console.say)
    weights = inherited_weights(settings, chosen, inherit) if inherit is not None else None
    with work_dir_lock(folder), console.progress("detector") as report:
        trained = train_detector(
            stage,
            folder,
            seed,
            target,
            resume,
            lambda step: report(step.step, step.steps, f"epoch {step.epoch}/{step.epochs}, loss {step.loss:.3f}"),
            weights,
        )
    _show(console, trained, folder)


def _check_usage(genotype: str | None, neck: str, inherit: Path | None) -> None:
    if genotype is None and (inherit is not None or neck == "fpn"):
        option = "--inherit" if inherit is not None else "--neck fpn"
        raise UsageError(f"{option}: needs a genotype; add --genotype")
    if inherit is not None and neck == "fpn":
        raise UsageError("--inherit: the FPN baseline has no weights in a super-net; leave one of the two out")


def _show(console: Console, trained: Any, folder: Path) -> None:
    if trained.found:
        console.say(f"{trained.path}: is already finished; nothing to do")
    figures = ", ".join(f"{name} {value:.4f}" for name, value in trained.metrics.items())
    console.result(
        f"{figures or 'no AP: the test split has no objects'}\n"
        f"{trained.cost.macs / 1e9:.3f} G MACs, {trained.cost.params / 1e6:.3f} M parameters",
        {"metrics": trained.metrics, "macs": trained.cost.macs, "params": trained.cost.params},
        {"detector": trained.path, "log": folder / "retrain"},
    )
