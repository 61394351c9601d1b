"""``opanas retrain``: train one detector in full."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from opanas_cli.commands.common.console import Console, Result
from opanas_cli.commands.common.options import NAME_OR_FILE, NECKS, RunOptions, run_options, setting_option
from opanas_cli.commands.common.several_processes import SeveralProcessesCommand
from opanas_cli.commands.common.summary import Part
from opanas_cli.commands.common.work_dir_lock import work_dir_lock
from opanas_cli.errors import UsageError


@click.command(cls=SeveralProcessesCommand)
@click.argument("config", type=NAME_OR_FILE)
@click.option(
    "--genotype",
    type=NAME_OR_FILE,
    metavar="GENOTYPE",
    help="The neck to train: a file, or the name of a shipped genotype.",
)
@click.option(
    "--neck",
    type=click.Choice(["opa", *NECKS]),
    default="opa",
    show_default=True,
    help="All but opa train a baseline instead, at the width with the same MACs as the genotype.",
)
@click.option(
    "--inherit",
    type=click.Path(path_type=Path),
    metavar="SUPERNET",
    help="Start from the weights of this super-net, edge importances included.",
)
@click.option(
    "--test-only",
    type=click.Path(path_type=Path),
    metavar="CHECKPOINT",
    help="Train nothing: measure the AP of these weights, such as a detector.pth.",
)
@setting_option("retrain", "amp", "amp")
@run_options()
def retrain(
    config: str,
    genotype: str | None,
    neck: str,
    inherit: Path | None,
    test_only: Path | None,
    amp: bool | None,
    run: RunOptions,
    console: Console,
) -> None:
    """Train a detector in full by the `retrain` settings of CONFIG, and measure its AP on the test split.

    Reads CONFIG and GENOTYPE; or CONFIG alone, if opanas export wrote it. Writes detector.pth and the log into the
    work dir. With --test-only, reads the weights and writes only the log of the test.

    \b
    Example:
      opanas retrain coco --genotype runs/coco/best.json --work-dir runs/coco-winner
    """
    if genotype is None and (inherit is not None or neck != "opa"):
        option = "--inherit" if inherit is not None else f"--neck {neck}"
        raise UsageError(f"{option}: needs a genotype; add --genotype")
    if inherit is not None and neck != "opa":
        raise UsageError(f"--inherit: --neck {neck} has no weights in a super-net; leave one of the two out")
    if test_only is not None and (inherit is not None or amp):
        raise UsageError(f"--test-only: trains nothing; leave out {'--amp' if amp else '--inherit'}")
    folder = run.folder(config)
    from opanas_cli.formats import resolve_genotype

    chosen = None if genotype is None else resolve_genotype(genotype)
    from opanas_cli.detection.configs.data_checks import check_data
    from opanas_cli.detection.configs.files import load_config
    from opanas_cli.detection.processes.devices import select_device
    from opanas_cli.detection.training.mixed_precision import use_mixed_precision
    from opanas_cli.detection.training.networks import baseline_config, inherited_weights, sub_net_config, whole_config
    from opanas_cli.detection.training.retraining import measure_detector

    device = select_device(run.device)
    settings = load_config(config, run.cfg_options)
    if chosen is None:
        stage = whole_config(settings)
    elif neck != "opa":
        stage = baseline_config(settings, chosen, neck)
    else:
        stage = sub_net_config(settings, chosen, edge_importance=inherit is not None)
    if amp:  # Not an override, for exported configs have no section `retrain`.
        use_mixed_precision(stage)
    check_data(settings, ["test"] if test_only else ["train", "test"], console.warn, console.say)
    weights = inherited_weights(settings, chosen, inherit) if chosen is not None and inherit is not None else None
    with work_dir_lock(folder):
        if test_only is not None:
            measured = measure_detector(stage, folder, run.seed, device, test_only)
            result = _result(measured, folder / "test")
        else:
            result = trained_detector(stage, folder, run.seed, device, run.resume, console, weights)
    console.result(*result)


def trained_detector(
    stage: Any, folder: Path, seed: int, device: Any, resume: bool, console: Console, weights: Any = None
) -> Result:
    """Train the detector of a config that has been checked, and say what came out."""
    from opanas_cli.detection.training.retraining import train_detector

    with console.training("detector") as on_step:
        trained = train_detector(stage, folder, seed, device, resume, on_step, weights)
    if trained.found:
        console.say_finished(trained.path)
    return _result(trained, folder / "retrain")


def _result(trained: Any, log: Path) -> Result:
    figures = ", ".join(f"{name} {value:.4f}" for name, value in trained.metrics.items())
    spent = trained.spent and trained.spent.document()
    return Result(
        f"{figures or 'no AP: the test split has no objects'}\n"
        f"{trained.cost.macs / 1e9:.3f} G MACs, {trained.cost.params / 1e6:.3f} M parameters",
        {"metrics": trained.metrics, "macs": trained.cost.macs, "params": trained.cost.params},
        {"detector": trained.path, "log": log},
        [Part("detector", trained.path, [spent], trained.metrics.get("AP"))],
    )
