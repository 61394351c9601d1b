"""``opanas genotype``: list, validate, show, convert and compare genotypes."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from opanas_cli.commands.common.console import Console, complain, shown
from opanas_cli.commands.common.options import NAME_OR_FILE, SuggestingGroup, common_options, output_option
from opanas_cli.errors import InvalidGenotypeError

if TYPE_CHECKING:
    from opanas_cli.formats import GenotypeRecord

VERSION = 1
INVALID = 3


@click.group(cls=SuggestingGroup)
def genotype() -> None:
    """List, validate, show, convert and compare genotypes.

    \b
    Example: opanas genotype show opa-fpn
    """


@genotype.command("list")
@common_options
def list_command(console: Console) -> None:
    """List the shipped genotypes.

    \b
    Reads:   nothing.
    Writes:  a table on stdout.
    Example: opanas genotype list
    """
    from opanas_cli.formats import read_record, shipped_genotypes

    facts = [{"name": name, **_summary(read_record(file))} for name, file in shipped_genotypes().items()]
    if console.as_json:
        _print_document("list", genotypes=facts)
        return
    width = max(len(fact["name"]) for fact in facts)
    for fact in facts:
        note = "" if console.quiet else f"  {fact['description']}"
        click.echo(f"{fact['name']:{width}}  {fact['space']:5}  N={fact['num_nodes']}{note}")


@genotype.command()
@click.argument("genotypes", metavar="GENOTYPE...", nargs=-1, required=True, type=NAME_OR_FILE)
@common_options
def validate(genotypes: tuple[str, ...], console: Console) -> int:
    """Check genotypes; exit with 3 if one is invalid.

    \b
    Reads:   GENOTYPE, a genotype file in any format, or the bare name of a shipped one.
    Writes:  a line for each, on stdout if it is valid and on stderr if not.
    Example: opanas genotype validate opa-fpn runs/quickstart/best.json
    """
    from opanas_cli.formats import resolve_record

    errors: dict[str, str | None] = dict.fromkeys(genotypes)
    for name in errors:
        try:
            resolve_record(name)
        except InvalidGenotypeError as invalid:
            errors[name] = str(invalid)
    if console.as_json:
        results = [{"genotype": name, "valid": error is None, "error": error} for name, error in errors.items()]
        _print_document("validation", results=results)
    else:
        for name, error in errors.items():
            if error is not None:
                complain(error)
            elif not console.quiet:
                click.echo(f"{shown(name)}: valid")
    return INVALID if any(errors.values()) else 0


@genotype.command()
@click.argument("genotype_name", metavar="GENOTYPE", type=NAME_OR_FILE)
@common_options
def show(genotype_name: str, console: Console) -> None:
    """Show the facts of a genotype.

    \b
    Reads:   GENOTYPE, a genotype file in any format, or the bare name of a shipped one.
    Writes:  its space, edges and canonical hash on stdout.
    Example: opanas genotype show opa-fpn
    """
    from opanas_cli.formats import resolve_record
    from opanas_cli.formats.text import line_of
    from opanas_cli.genotype.architecture import facts_of

    record = resolve_record(genotype_name)
    facts = {**facts_of(record.genotype), "text": line_of(record.genotype)}
    if console.as_json:
        from opanas_cli.formats.json_format import document_of

        _print_document("facts", **facts, genotype=document_of(record))
        return
    for line in _fact_lines(facts):
        click.echo(line)
    if record.metadata and not console.quiet:
        click.echo("metadata")
        click.echo("  " + json.dumps(record.metadata, indent=2).replace("\n", "\n  "))


@genotype.command()
@click.argument("genotype_name", metavar="GENOTYPE", type=NAME_OR_FILE)
@click.option("--from", "source", metavar="FORMAT", help="Format to read.  [default: by the suffix]")
@click.option(
    "--to", "target", metavar="FORMAT", help="Format to write: json, text, released, graphml, or one from a plug-in."
)
@output_option("Output file.  [default: stdout]")
@common_options
def convert(
    genotype_name: str,
    source: str | None,
    target: str | None,
    output: Path | None,
    console: Console,
) -> None:
    """Write a genotype in another format.

    \b
    Reads:   GENOTYPE, a genotype file in any format, or the bare name of a shipped one.
    Writes:  the genotype in the format of --to (or of FILE's suffix) to FILE or stdout.
    Example: opanas genotype convert opa-fpn --to text
    """
    from opanas_cli.formats import dump_record, resolve_record, write_record
    from opanas_cli.formats.registry import FORMATS, codec_of

    for name in filter(None, (source, target)):
        FORMATS.named(name)
    if target is None:
        if output is None:
            raise click.UsageError("choose a format with --to FORMAT, or a file with -o FILE whose suffix selects one")
        target = codec_of(output).name
    record = resolve_record(genotype_name, source)
    if output is not None:
        write_record(record, output, target)
    if console.as_json:
        file, text = (str(output), None) if output else (None, dump_record(record, target))
        _print_document("conversion", to=target, file=file, text=text)
    elif output is None:
        click.echo(dump_record(record, target), nl=False)
    elif not console.quiet:
        click.echo(f"wrote {shown(str(output))}")


@genotype.command()
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@common_options
def compare(first: str, second: str, console: Console) -> None:
    """Report whether two genotypes are equal, equivalent or different.

    Equal: the same path on every edge. Equivalent: isomorphic once dead parts are pruned, so one architecture when
    trained on its own.

    \b
    Reads:   A and B, genotype files in any format, or bare names of shipped ones.
    Writes:  one word, and the canonical hashes, on stdout.
    Example: opanas genotype compare opa-fpn runs/quickstart/best.json
    """
    from opanas_cli.formats import resolve_genotype
    from opanas_cli.genotype.architecture import compare as compare_genotypes

    compared = compare_genotypes(resolve_genotype(first), resolve_genotype(second))
    if console.as_json:
        _print_document("comparison", **asdict(compared))
        return
    click.echo(compared.relation)
    if console.quiet:
        return
    for name, digits in zip((first, second), compared.canonical_hashes, strict=True):
        click.echo(f"  {digits}  {shown(name)}")
    for difference in compared.differing_edges or ():
        click.echo(
            f"  edge {difference['source']}->{difference['target']}: {difference['a']} against {difference['b']}"
        )


def _print_document(kind: str, **content: Any) -> None:
    Console.print_document({"format": f"opanas-genotype-{kind}", "version": VERSION, **content})


def _summary(record: GenotypeRecord) -> dict[str, Any]:
    from opanas_cli.formats.text import line_of

    return {
        "space": record.genotype.space.value,
        "num_nodes": record.genotype.num_nodes,
        "text": line_of(record.genotype),
        "description": record.metadata.get("provenance", {}).get("description", ""),
    }


def _fact_lines(facts: dict[str, Any]) -> list[str]:
    count, live = facts["num_edges"], facts["live_edges"]
    base, exponent = facts["space_size"].values()
    size = f"{base}**{exponent}" + (f" = {base**exponent:,}" if exponent <= 21 else "")
    nodes, summed = (" ".join(map(str, facts[name])) for name in ("live_nodes", "output_nodes"))
    return [
        f"text            {facts['text']}",
        f"space           {facts['space']}, N={facts['num_nodes']}: {size} genotypes",
        f"edges           {count}: {len(live)} live, {count - len(live)} dead",
        f"live nodes      {nodes} of {facts['num_nodes']}",
        f"output          {'the sum of nodes' if len(facts['output_nodes']) > 1 else 'node'} {summed}",
        f"canonical hash  {facts['canonical_hash']}",
        "live edges",
        *(f"  {edge['source']}->{edge['target']}  {edge['path']}" for edge in live),
    ]
