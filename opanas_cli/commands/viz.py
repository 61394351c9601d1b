"""``opanas viz``: draw genotypes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from opanas_cli.commands.console import Console, rich_console, shown
from opanas_cli.commands.options import common_options
from opanas_cli.errors import UsageError

if TYPE_CHECKING:
    from opanas_cli.formats import GenotypeRecord

MOST_GENOTYPES = 64
"""So many make a figure that can still be looked at."""


@click.command()
@click.argument("genotypes", nargs=-1, required=True, metavar="GENOTYPE...")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Output file; its suffix selects the format: .svg, .png, .pdf, .dot, .mmd (Mermaid) or .html.",
)
@click.option("--hide-dead", is_flag=True, help="Leave out dead parts instead of fading them.")
@common_options
def viz(genotypes: tuple[str, ...], output: Path | None, hide_dead: bool, console: Console) -> None:
    """Draw one or more genotypes as graphs, side by side.

    Reads each GENOTYPE: a file in any registered format, or the name of a shipped one. Writes FILE, or
    draws in the terminal without -o.

    \b
    Example:
      opanas viz opa-fpn runs/quickstart/best.json -o genotypes.svg
    """
    if len(genotypes) > MOST_GENOTYPES:
        raise UsageError(
            f"GENOTYPE: at most {MOST_GENOTYPES} are drawn side by side, but got {len(genotypes)}; draw fewer at once"
        )
    from opanas_cli.formats import resolve_record

    if output is not None:
        from opanas_cli.drawing import drawing_suffix

        drawing_suffix(output)
    records = [resolve_record(value) for value in genotypes]
    titles = _titles(genotypes)
    if output is not None:
        from opanas_cli.drawing import draw

        draw([record.genotype for record in records], output, titles, hide_dead)
    elif not console.as_json:
        _draw_terminal(records, titles, hide_dead)
    if console.as_json:
        console.print_document(_document(records, titles, output))
    elif output is not None:
        click.echo(shown(str(output)))


def _draw_terminal(records: list[GenotypeRecord], titles: list[str], hide_dead: bool) -> None:
    from opanas_cli.drawing import Diagram
    from opanas_cli.drawing.terminal import to_text

    console = rich_console()
    diagrams = [Diagram.of(record.genotype, title, hide_dead) for record, title in zip(records, titles, strict=True)]
    console.print(to_text(diagrams, console.options.ascii_only), soft_wrap=True)


def _titles(genotypes: tuple[str, ...]) -> list[str]:
    """The names of the files, or their whole paths if names are equal."""
    names = [Path(value).stem for value in genotypes]
    return names if len(set(names)) == len(names) else list(genotypes)


def _document(records: list[GenotypeRecord], titles: list[str], output: Path | None) -> dict[str, object]:
    from opanas_cli.formats.json_format import document_of

    genotypes = [
        {"name": title, "genotype": document_of(record)} for title, record in zip(titles, records, strict=True)
    ]
    return {"version": 1, "files": [] if output is None else [str(output)], "genotypes": genotypes}
