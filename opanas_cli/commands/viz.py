"""``opanas viz``: draw genotypes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from opanas_cli.commands.console import rich_console, shown
from opanas_cli.commands.options import common_options

if TYPE_CHECKING:
    from opanas_cli.formats import GenotypeRecord


@click.command(short_help="Draw genotypes.")
@click.argument("genotypes", nargs=-1, required=True, metavar="GENOTYPE...")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Draw into a file, in the form its suffix names: .svg, .png, .pdf, .dot, .mmd (Mermaid) or .html.",
)
@click.option("--hide-dead", is_flag=True, help="Leave out what adds nothing to the output, instead of fading it.")
@common_options
def viz(
    genotypes: tuple[str, ...], output: Path | None, hide_dead: bool, as_json: bool, debug: bool, quiet: bool
) -> None:
    """Draw one or more genotypes as graphs, side by side.

    Reads each GENOTYPE: a file in any registered format, or the name of a shipped one. Writes a drawing to the
    terminal, or into the FILE of -o.

    \b
    Example:
      opanas viz opa-fpn runs/quickstart/best.json -o genotypes.svg
    """
    from opanas_cli.formats import resolve_record

    if output is not None:
        from opanas_cli.drawing import drawing_suffix

        drawing_suffix(output)
    records = [resolve_record(value) for value in genotypes]
    titles = _titles(genotypes)
    if output is not None:
        _draw_file(records, titles, output, hide_dead)
    elif not as_json:
        _draw_terminal(records, titles, hide_dead)
    if as_json:
        click.echo(json.dumps(_document(records, titles, output), indent=2))
    elif output is not None:
        click.echo(shown(str(output)))


def _draw_file(records: list[GenotypeRecord], titles: list[str], output: Path, hide_dead: bool) -> None:
    from opanas_cli.drawing import draw

    draw([record.genotype for record in records], output, titles, hide_dead)


def _draw_terminal(records: list[GenotypeRecord], titles: list[str], hide_dead: bool) -> None:
    from opanas_cli.drawing import Diagram
    from opanas_cli.drawing.terminal import to_text

    console = rich_console()
    diagrams = [Diagram.of(record.genotype, title, hide_dead) for record, title in zip(records, titles, strict=True)]
    console.print(to_text(diagrams, console.options.ascii_only), soft_wrap=True)


def _titles(genotypes: tuple[str, ...]) -> list[str]:
    """The names of the files, or their whole paths where names are equal."""
    names = [Path(value).stem for value in genotypes]
    return names if len(set(names)) == len(names) else list(genotypes)


def _document(records: list[GenotypeRecord], titles: list[str], output: Path | None) -> dict[str, object]:
    from opanas_cli.formats.json_format import JSON

    assert JSON.dumps is not None
    return {
        "version": 1,
        "files": [] if output is None else [str(output)],
        "genotypes": [
            {"name": title, "genotype": json.loads(JSON.dumps(record))}
            for record, title in zip(records, titles, strict=True)
        ],
    }
