"""``opanas viz``: draw genotypes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from opanas_cli.commands.common.console import Console, rich_console, shown
from opanas_cli.commands.common.options import CFG_OPTIONS, NAME_OR_FILE, ConfigCommand, common_options, output_option
from opanas_cli.errors import InvalidGenotypeError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opanas_cli.drawing import Diagram
    from opanas_cli.formats import GenotypeRecord
    from opanas_cli.genotype import Genotype, PathType
    from opanas_cli.search.cost import Cost

MOST_GENOTYPES = 64
"""So many make a figure that can still be looked at."""


@click.command(cls=ConfigCommand)
@click.argument("genotypes", nargs=-1, required=True, metavar="GENOTYPE...", type=NAME_OR_FILE)
@output_option("Output file; its suffix selects the format: .svg, .png, .pdf, .dot, .mmd (Mermaid) or .html.")
@click.option("--hide-dead", is_flag=True, help="Leave out dead parts instead of fading them.")
@click.option("--diff", is_flag=True, help="Mark the edges whose path is not that of the first GENOTYPE.")
@click.option(
    "--supernet",
    "super_net",
    type=click.Path(path_type=Path),
    metavar="SUPERNET",
    help="Draw edges as wide as their importance γ in this super-net.",
)
@click.option(
    "--config",
    type=NAME_OR_FILE,
    metavar="CONFIG",
    help="Show in .html the parameters and MACs (at cost_input) of each edge in the detector of CONFIG.",
)
@CFG_OPTIONS
@common_options
def viz(
    genotypes: tuple[str, ...],
    output: Path | None,
    hide_dead: bool,
    diff: bool,
    super_net: Path | None,
    config: str | None,
    cfg_options: tuple[str, ...],
    console: Console,
) -> None:
    """Draw one or more genotypes as graphs, side by side.

    Reads each GENOTYPE: a file in any registered format, or the name of a shipped one. Writes FILE, or
    draws in the terminal without -o. SUPERNET is a supernet.pth of the same space; the terminal shows γ as a number.

    \b
    Example:
      opanas viz opa-fpn runs/quickstart/best.json -o genotypes.svg
    """
    if len(genotypes) > MOST_GENOTYPES:
        raise UsageError(
            f"GENOTYPE: at most {MOST_GENOTYPES} are drawn side by side, but got {len(genotypes)}; draw fewer at once"
        )
    if diff and len(genotypes) < 2:
        raise UsageError("--diff: compares with the first GENOTYPE, but there is only one; add another")
    if diff and hide_dead:
        raise UsageError("--diff: an edge may differ because it is dead in one genotype; leave out --hide-dead")
    if config is not None and (output is None or output.suffix.lower() != ".html"):
        raise UsageError("--config: only a page shows what edges cost; add -o FILE.html")
    if cfg_options and config is None:
        raise UsageError("--cfg-options: are settings of a config; add --config CONFIG")
    from opanas_cli.formats import resolve_record

    if output is not None:
        from opanas_cli.drawing import drawing_suffix

        drawing_suffix(output)
    records = [resolve_record(value) for value in genotypes]
    titles = _titles(genotypes)
    named = {name: record.genotype for name, record in zip(genotypes, records, strict=True)}
    if diff:
        _require_one_space(named)
    importances = () if super_net is None else _importances(super_net, named)
    costs = {} if config is None else _costs(config, cfg_options, named)
    if output is not None or not console.as_json:
        from opanas_cli.drawing import Diagram, Notes, draw

        first = records[0].genotype
        diagrams = [
            Diagram.of(record.genotype, title, hide_dead, Notes(first if diff and number else None, importances, costs))
            for number, (record, title) in enumerate(zip(records, titles, strict=True))
        ]
        if output is None:
            _draw_terminal(diagrams)
        else:
            draw(diagrams, output)
    if console.as_json:
        console.print_document(_document(records, titles, output))
    elif output is not None:
        click.echo(shown(str(output)))


def _require_one_space(named: dict[str, Genotype]) -> None:
    """Raise InvalidGenotypeError unless all genotypes have the edges of the first."""
    (first, reference), *others = named.items()
    for name, genotype in others:
        if genotype.edges != reference.edges:
            raise InvalidGenotypeError(
                f"{name}: is {genotype.space} with N = {genotype.num_nodes}, but {first} is {reference.space} with "
                f"N = {reference.num_nodes}; --diff needs genotypes of one space"
            )


def _importances(super_net: Path, named: dict[str, Genotype]) -> tuple[float, ...]:
    """γ of each edge in flat order; raises InvalidGenotypeError if a genotype is not of the super-net's space."""
    from opanas_cli.detection.super_net_file import edge_importances

    space, importances = edge_importances(super_net)
    for name, genotype in named.items():
        if genotype.edges != space.edges:
            raise InvalidGenotypeError(
                f"{name}: is {genotype.space} with N = {genotype.num_nodes}, but {super_net} is {space.kind} with "
                f"N = {space.num_nodes}; draw genotypes of that space"
            )
        unknown = {path for path in genotype.paths if path.is_parameterised} - {*space.paths}
        if unknown:
            raise InvalidGenotypeError(
                f"{name}: has the path '{min(unknown)}', which {super_net} has not; draw genotypes of its space"
            )
    return tuple(importances)


def _costs(config: str, cfg_options: tuple[str, ...], named: dict[str, Genotype]) -> dict[PathType, Cost]:
    """What each path costs in the detector of a config; raises InvalidGenotypeError if a genotype has another."""
    from opanas_cli.detection.configs.files import load_config
    from opanas_cli.detection.costs.profiling import CostModel

    costs = CostModel(load_config(config, cfg_options)).per_path
    for name, genotype in named.items():
        for path in genotype.paths:
            if path not in costs:
                raise InvalidGenotypeError(
                    f"{name}: has the path '{path}', which {config} has not; add it to model.neck.paths"
                )
    return dict(costs)


def _draw_terminal(diagrams: Sequence[Diagram]) -> None:
    from opanas_cli.drawing.terminal import to_text

    console = rich_console()
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
