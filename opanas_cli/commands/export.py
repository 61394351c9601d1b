"""``opanas export``: a genotype for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from opanas_cli.commands.console import Console
from opanas_cli.commands.options import ConfigCommand, cfg_options, common_options
from opanas_cli.errors import UsageError

if TYPE_CHECKING:
    from opanas_cli.formats import GenotypeRecord

CONFIG_FORMAT = "mmdet-config"
GRAPH_FORMATS = ("dot", "mermaid", "graphml")
CONFIG_OPTIONS = ("detector", "backbone", "channels", "dataset", "num_classes", "schedule", "standalone", "cfg_options")


@click.command(cls=ConfigCommand, short_help="Write a genotype as an mmdet config, or in another format.")
@click.argument("genotype")
@click.option(
    "--to", "form", required=True, metavar="FORMAT", help="mmdet-config, dot, mermaid, graphml, json, released, text."
)
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Write here.")
@click.option(
    "--detector", type=click.Choice(["faster-rcnn", "cascade-rcnn", "retinanet"]), help="[default: the data set's]"
)
@click.option(
    "--backbone",
    type=click.Choice(["r18", "r50", "r101", "x101-64x4d", "res2net101-dcn"]),
    help="[default: the data set's, r50 for coco and voc]",
)
@click.option("--channels", type=click.IntRange(1), help="Width of the pyramid.  [default: the data set's, 112]")
@click.option(
    "--dataset", metavar="coco|voc|FILE", help="Shipped config or config file to take the data from.  [default: coco]"
)
@click.option("--num-classes", type=click.IntRange(1), help="[default: the data set's]")
@click.option("--schedule", type=click.Choice(["1x", "2x-ms"]), help="[default: the data set's, 1x]")
@click.option(
    "--standalone",
    is_flag=True,
    help="Write the neck into a second file beside FILE, so that training needs mmdet but not opanas.",
)
@cfg_options
@common_options
def export(
    genotype: str,
    form: str,
    output: Path | None,
    detector: str | None,
    backbone: str | None,
    channels: int | None,
    dataset: str | None,
    num_classes: int | None,
    schedule: str | None,
    standalone: bool,
    cfg_options: tuple[str, ...],
    as_json: bool,
    debug: bool,
    quiet: bool,
) -> None:
    """Write GENOTYPE as an mmdet config of a whole detector, as a graph, or in any genotype format.

    Reads GENOTYPE: a file, or the name of a shipped one. Writes FILE, or stdout without -o. A config trains with
    `opanas retrain FILE`, and with mmdet's own tools/train.py.

    \b
    Example:
      opanas export opa-fpn --to mmdet-config --detector retinanet --channels 168 -o retinanet.py
    """
    from opanas_cli.formats import resolve_record

    console = Console(quiet, as_json)
    record = resolve_record(genotype)
    files: dict[str, Path] = {}
    if form == CONFIG_FORMAT:
        if output is not None and output.suffix != ".py":
            raise UsageError(f"-o: a config is Python and ends in .py, but got {output.name}")
        choices = {
            "dataset": dataset or "coco",
            "detector": detector,
            "backbone": backbone,
            "channels": channels,
            "num_classes": num_classes,
            "schedule": schedule,
            "overrides": cfg_options,
        }
        text, neck = _config(record, choices, output if standalone else None, standalone)
        files = {} if output is None else {"config": output}
        if neck is not None and output is not None:
            files["neck"] = output.with_name(f"{neck_module(output)}.py")
    else:
        _refuse_config_options(click.get_current_context())
        text, neck = _text(record, form, genotype), None
        files = {} if output is None else {form: output}
    _write(console, text, neck, files, form)


def neck_module(output: Path) -> str:
    """The module of the stand-alone neck that belongs to a config file.

    Raises:
        UsageError: the name of the file makes none.
    """
    module = f"{output.stem}_neck"
    if output.suffix != ".py" or not module.isidentifier():
        raise UsageError(f"-o: {output.name} cannot be imported from; use letters, digits, _ and the suffix .py")
    return module


def _config(
    record: GenotypeRecord, choices: dict[str, Any], output: Path | None, standalone: bool
) -> tuple[str, str | None]:
    """The text of a config, and of the stand-alone neck where one is asked for."""
    if standalone and output is None:
        raise UsageError("--standalone: writes two files; say where with -o FILE")
    module = None if output is None else neck_module(output)
    from opanas_cli.detection.exporting.mmdet_config import export_config, exported_text, standalone_config
    from opanas_cli.detection.exporting.standalone import standalone_source

    config = export_config(record.genotype, **choices)
    if module is None:
        return exported_text(config), None
    return exported_text(standalone_config(config, module), standalone=True), standalone_source(record.genotype)


def _text(record: GenotypeRecord, form: str, name: str) -> str:
    if form not in GRAPH_FORMATS:
        from opanas_cli.formats import dump_record
        from opanas_cli.formats.registry import codecs

        if form not in codecs():
            known = ", ".join((CONFIG_FORMAT, *GRAPH_FORMATS, *codecs()))
            raise UsageError(f"--to: there is no format '{form}'; choose one of {known}")
        return dump_record(record, form)
    if form == "graphml":
        from networkx import generate_graphml

        from opanas_cli.genotype.dag import to_digraph

        return "\n".join(generate_graphml(to_digraph(record.genotype)))
    from opanas_cli.drawing import Diagram
    from opanas_cli.drawing.dot import to_dot
    from opanas_cli.drawing.mermaid import to_mermaid

    diagrams = [Diagram.of(record.genotype, Path(name).stem)]
    return to_dot(diagrams) if form == "dot" else to_mermaid(diagrams)


def _refuse_config_options(context: click.Context) -> None:
    given = [name for name in CONFIG_OPTIONS if context.params.get(name)]
    if given:
        raise UsageError(f"--{given[0].replace('_', '-')}: goes with --to {CONFIG_FORMAT} only")


def _write(console: Console, text: str, neck: str | None, files: dict[str, Path], form: str) -> None:
    from opanas_cli.atomic import write_atomically

    contents = [text] if neck is None else [text, neck]
    for path, content in zip(files.values(), contents, strict=False):
        write_atomically(path, content)
    if files:
        console.result(f"exported to {form}", {"to": form}, files)
    elif console.as_json:
        console.result("", {"to": form, "text": text}, {})
    else:
        click.echo(text, nl=not text.endswith("\n"))
