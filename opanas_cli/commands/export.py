"""``opanas export``: a genotype for other programs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from opanas_cli.commands.common.console import Console
from opanas_cli.commands.common.options import (
    CFG_OPTIONS,
    IMAGE_SIZE,
    NAME_OR_FILE,
    NECKS,
    ConfigCommand,
    common_options,
    output_option,
)
from opanas_cli.errors import UsageError

if TYPE_CHECKING:
    from opanas_cli.exporters.exporter import ExportedFile, Exporter, ExportRequest


@click.command(cls=ConfigCommand)
@click.argument("genotype", type=NAME_OR_FILE)
@click.option(
    "--to",
    "form",
    required=True,
    metavar="FORMAT",
    help="mmdet-config, mmdet2-config, onnx, pt2, dot, mermaid, graphml, json, released, text, or of a plug-in.",
)
@output_option("Output file.")
@click.option(
    "--detector",
    type=NAME_OR_FILE,
    metavar="NAME|FILE|mmdet::NAME",
    help="faster-rcnn, cascade-rcnn or retinanet; or the config of any detector whose neck makes a pyramid of a "
    "pyramid, on its own data unless --dataset is given.  [default: the data set's]",
)
@click.option(
    "--backbone",
    type=click.Choice(["r18", "r50", "r101", "x101-64x4d", "res2net101-dcn"]),
    help="[default: the data set's, r50 for coco and voc]",
)
@click.option("--channels", type=click.IntRange(1), help="Width of the pyramid.  [default: the data set's, 112]")
@click.option(
    "--neck",
    type=click.Choice(NECKS),
    help="Another neck in place of GENOTYPE's: at the width with the same MACs, or with --channels at that width.",
)
@click.option(
    "--dataset",
    type=NAME_OR_FILE,
    metavar="coco|voc|FILE",
    help="Shipped config or config file to take the data from.  [default: coco]",
)
@click.option("--num-classes", type=click.IntRange(1), help="[default: the data set's]")
@click.option("--schedule", type=click.Choice(["1x", "2x-ms"]), help="[default: the data set's, 1x]")
@click.option(
    "--weights",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="CHECKPOINT",
    help="Weights of the detector, for formats that contain them.",
)
@click.option("--part", type=click.Choice(["detector", "neck"]), help="Part of the network.  [default: detector]")
@IMAGE_SIZE
@click.option(
    "--nms", is_flag=True, help="Suppress boxes in the network, as test_cfg says: the best boxes, with labels."
)
@click.option("--dynamic", is_flag=True, help="Leave image sizes open.")
@click.option("--opset", type=click.IntRange(16, 23), help="Version of ONNX's operators.  [default: 18]")
@click.option(
    "--standalone",
    is_flag=True,
    help="Write the neck into a second file beside FILE, so that training needs mmdet but not opanas.",
)
@CFG_OPTIONS
@common_options
def export(
    genotype: str,
    form: str,
    output: Path | None,
    detector: str | None,
    backbone: str | None,
    channels: int | None,
    neck: str | None,
    dataset: str | None,
    num_classes: int | None,
    schedule: str | None,
    weights: Path | None,
    standalone: bool,
    part: str | None,
    image_size: tuple[int, int] | None,
    nms: bool,
    dynamic: bool,
    opset: int | None,
    cfg_options: tuple[str, ...],
    console: Console,
) -> None:
    """Write GENOTYPE as an mmdet config, as a network (ONNX, torch.export), as a graph, or in any genotype format.

    Reads GENOTYPE: a file, or the name of a shipped one; networks also the weights. Writes FILE, or stdout without -o,
    and says how to run it.

    \b
    Example:
      opanas export opa-fpn --to mmdet-config --detector retinanet --channels 168 -o retinanet.py
    """
    from opanas_cli.exporters.exporter import ExportRequest, checked_files
    from opanas_cli.exporters.registry import EXPORTERS
    from opanas_cli.formats import resolve_record

    record = resolve_record(genotype)
    exporter = EXPORTERS.named(form)
    options = _given_options(click.get_current_context(), exporter.options)
    if exporter.needs_weights and weights is None:
        raise UsageError(f"--to {form}: needs the weights of a detector; add --weights CHECKPOINT")
    if weights is not None and not weights.exists():
        raise UsageError(f"--weights: {weights} does not exist; give the checkpoint of a detector")
    if weights is not None and not (exporter.needs_weights or exporter.takes_weights):
        raise UsageError(f"--weights: is not valid with --to {form}, which writes no weights")
    request = ExportRequest(record, genotype, output, options, weights)
    exported = checked_files(exporter, exporter.files(request), output)
    _write(console, exported, request, exporter)


def _given_options(context: click.Context, taken: frozenset[str]) -> dict[str, Any]:
    """The options for some exporters that were given, by name; UsageError if this one does not take one of them."""
    from opanas_cli.exporters.exporter import OPTIONS
    from opanas_cli.exporters.registry import EXPORTERS

    given = {name: value for name, value in context.params.items() if name in OPTIONS and value}
    for name in given:
        if name not in taken:
            takers = ", ".join(exporter.name for exporter in EXPORTERS.all.values() if name in exporter.options)
            raise UsageError(f"--{name.replace('_', '-')}: is only valid with --to {takers}")
    return given


def _write(console: Console, exported: Sequence[ExportedFile], request: ExportRequest, exporter: Exporter) -> None:
    from opanas_cli.atomic import write_atomically

    output, form = request.output, exporter.name
    if output is not None:
        files = {file.kind: output.with_name(file.name or output.name) for file in exported}
        for file in reversed(exported):  # The output, which may need the others, comes last.
            write_atomically(files[file.kind], file.content)
        how = exporter.how_to_run(request) if exporter.how_to_run else ""
        document = {"to": form, **({"how_to_run": how} if how else {})}
        console.result(f"exported to {form}{'; ' if how else ''}{how}", document, files)
        return
    text = str(exported[0].content)
    if console.as_json:
        console.result("", {"to": form, "text": text}, {})
    else:
        click.echo(text, nl=not text.endswith("\n"))
