"""``opanas import-weights``: a checkpoint of the released detectors as one of ours."""

from __future__ import annotations

from pathlib import Path

import click

from opanas_cli.commands.common.console import Console
from opanas_cli.commands.common.options import CFG_OPTIONS, NAME_OR_FILE, ConfigCommand, common_options, output_option
from opanas_cli.errors import InvalidCheckpointError, UsageError


@click.command(cls=ConfigCommand)
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option(
    "--genotype",
    required=True,
    type=NAME_OR_FILE,
    metavar="GENOTYPE",
    help="Of its neck: a file, or the name of a shipped one.",
)
@output_option("Checkpoint to write; the config gets the same name with the suffix .py.", required=True)
@click.option(
    "--dataset",
    type=NAME_OR_FILE,
    metavar="coco|voc|FILE",
    default="coco",
    show_default=True,
    help="Shipped config or config file to take the data from.",
)
@CFG_OPTIONS
@common_options
def import_weights(
    checkpoint: Path, genotype: str, output: Path, dataset: str, cfg_options: tuple[str, ...], console: Console
) -> None:
    """Convert CHECKPOINT, a detector with the authors' released neck trained by mmdet 2, for opanas and mmdet 3.

    Reads CHECKPOINT and GENOTYPE. Writes FILE and its config, for `opanas retrain CONFIG --test-only FILE` and mmdet's
    own tools/test.py. Detector, backbone and width are recognised by the weights; each weight that does not fit is
    named, and then nothing is written.

    \b
    Example:
      opanas import-weights released.pth --genotype opa-fpn -o opa-fpn.pth
    """
    config = output.with_suffix(".py")
    if output.suffix == ".py":
        raise UsageError(f"-o: names the checkpoint, but {output.name} would be the config; let it end in .pth")
    sources = {Path(name).resolve() for name in (checkpoint, dataset, genotype)}
    for path in sources & {output.resolve(), config.resolve()}:
        raise UsageError(f"-o: would overwrite {path.name}, which is read; choose another name")
    from opanas_cli.formats import resolve_genotype

    chosen = resolve_genotype(genotype)
    from opanas_cli.atomic import write_atomically
    from opanas_cli.detection.checkpoints import write_checkpoint
    from opanas_cli.detection.configs.building import config_errors
    from opanas_cli.detection.exporting.detector_config import exported_text
    from opanas_cli.detection.importing.imported_detector import import_detector

    with config_errors(dataset, "cannot be used"):
        imported = import_detector(checkpoint, chosen, dataset, cfg_options)
    for line in imported.differences:
        console.warn(line)
    if imported.differences:
        raise InvalidCheckpointError(
            f"{checkpoint}: {len(imported.differences)} weights differ from the detector of {genotype} and {dataset}, "
            "as listed above; nothing is written: correct --genotype, --dataset or --cfg-options"
        )
    write_atomically(config, exported_text(imported.config))
    write_checkpoint(imported.content, output)
    modules = list(dict.fromkeys(name.rpartition(".")[0] for name in imported.unused))
    console.result(
        ", ".join(f"{name} {value}" for name, value in imported.facts.items() if value)
        + (f"\nnot used, and left out: {', '.join(modules)}" if modules else ""),
        {**imported.facts, "unused": imported.unused},
        {"checkpoint": output, "config": config},
    )
