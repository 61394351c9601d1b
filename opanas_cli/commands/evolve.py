"""``opanas evolve``: search a trained super-net."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from opanas_cli.commands.common.console import Console, Result, SearchProgress
from opanas_cli.commands.common.options import (
    NAME_OR_FILE,
    SEARCH_SPLIT,
    RunOptions,
    limit_options,
    run_options,
    setting_option,
)
from opanas_cli.commands.common.several_processes import SeveralProcessesCommand
from opanas_cli.commands.common.summary import Part
from opanas_cli.commands.common.work_dir_lock import work_dir_lock


@click.command(cls=SeveralProcessesCommand)
@click.argument("config", type=NAME_OR_FILE)
@click.argument("supernet", type=click.Path(path_type=Path))
@click.option(
    "--strategy",
    metavar="NAME",
    default="evolution",
    show_default=True,
    help="How candidates are proposed: evolution, random, regularized, nsga2, or one from a plug-in.",
)
@click.option(
    "--against",
    type=click.Choice(["macs", "params", "latency"]),
    default="macs",
    show_default=True,
    help="Cost that nsga2 and the Pareto front trade AP against.",
)
@setting_option("search", "population")
@setting_option("search", "generations")
@setting_option("search", "top_k")
@setting_option("search", "mutation_prob")
@limit_options
@setting_option("search", "max_images")
@setting_option("search", "halving")
@setting_option("search", "finalists")
@SEARCH_SPLIT
@run_options()
def evolve(
    config: str,
    supernet: Path,
    strategy: str,
    against: str,
    constraints: Any,
    search_split: float | None,
    run: RunOptions,
    console: Console,
) -> None:
    """Search the SUPERNET trained from CONFIG for the genotype of the highest average precision.

    Reads CONFIG and SUPERNET, the supernet.pth of train-supernet. Candidates are evaluated on training images that
    were held out from the super-net's training. Writes history.jsonl (one candidate per line; --resume continues from
    it), best.json and population.json into the work dir, and latency.json if latency is limited or traded against.
    With --finalists the best are trained alone on all training images that are not held out, and tested on those that
    are; finalists.jsonl has a line for each such training. With --search-split 0 they are trained on all training
    images, and tested on the validation set, as candidates are.

    \b
    Example:
      opanas evolve coco runs/coco/supernet.pth --max-macs 200G
    """
    from opanas_cli.search import Resource, strategy_named

    strategy_named(strategy)  # Refuses an unknown one before anything long begins.
    folder = run.folder(config)
    from opanas_cli.detection.configs.data_checks import check_data
    from opanas_cli.detection.configs.files import load_config
    from opanas_cli.detection.processes.devices import select_device
    from opanas_cli.detection.searching import SearchOptions

    device = select_device(run.device)
    settings = load_config(config, run.cfg_options)

    def check(searched: Any, split: float, most: int | None) -> None:
        part = ["train" if split else "val"]
        check_data(searched, part, console.warn, console.say, split or 1.0, most)

    asked = SearchOptions(run.seed, strategy, Resource(against), constraints, search_split, run.resume)
    with work_dir_lock(folder):
        result = evolved(settings, supernet, folder, device, asked, console, check)
    console.result(*result)


def evolved(
    config: Any,
    supernet: Path,
    folder: Path,
    device: Any,
    asked: Any,
    console: Console,
    check: Callable[[Any, float, int | None], None] = lambda searched, split, most: None,
) -> Result:
    """Search a super-net by `SearchOptions`, train the finalists if the config has several, and say what was found."""
    from opanas_cli.detection.configs.sections import section_of
    from opanas_cli.detection.experiments.finalists import hold_final
    from opanas_cli.detection.searching import SearchFiles, SearchReports, search_super_net

    if asked.search_split == 0:
        console.warn("the search uses the validation set, so its AP is no longer a fair measure of the winner")
    with console.progress("search") as report:
        shown = SearchProgress(report)
        reports = SearchReports(shown.candidate, shown.images, check, console.say)
        result = search_super_net(config, supernet, folder, device, asked, reports)
    best, rounds = result.best, []
    if not best.fitness:
        console.warn(
            "every candidate has a fitness of 0: the super-net has learnt too little to rank them; train it longer"
        )
    if section_of(config, "search").finalists > 1:
        with console.progress("finalists") as report:
            best, rounds = hold_final(config, supernet, result, asked, folder, device, report)
    files = SearchFiles.of(folder)
    metric = section_of(config, "search").metric
    return _found(result, best, rounds, files)._replace(parts=_parts(result.best.fitness, rounds, files, metric))


def _found(result: Any, best: Any, rounds: Any, files: Any) -> Result:
    from opanas_cli.formats.text import line_of

    text = line_of(best.genotype)
    ended = "; the space has no more candidates" if result.exhausted else ""
    written = {"best": files.best, "population": files.population, "history": files.history}
    found = f"best fitness {best.fitness:.4f}"
    if rounds:
        written["finalists"] = files.finalists
        found = f"the best of the finalists, of fitness {best.fitness:.4f}"
    latency = ""
    if best.cost.latency_ms is not None:
        latency = f" and takes {best.cost.latency_ms:.2f} ms"
        written["latency"] = files.latency
    return Result(
        f"evaluated {len(result.evaluated)} candidates{ended}; {found}: {text}\n"
        + "".join(
            f"alone, {round['epochs']} of {rounds[-1]['epochs']} epochs: {_figures(round['figures'])}\n"
            for round in rounds
        )
        + f"the detector has {best.cost.macs / 1e9:.3f} G MACs and {best.cost.params / 1e6:.3f} M parameters{latency}",
        {
            "evaluated": len(result.evaluated),
            "exhausted": result.exhausted,
            "best": {
                "genotype": text,
                "fitness": best.fitness,
                "metrics": best.metrics,
                **best.cost.document(),
            },
            "finalists": rounds,
            "pareto": [
                {"genotype": line_of(candidate.genotype), "fitness": candidate.fitness, **candidate.cost.document()}
                for candidate in result.front
            ],
        },
        written,
    )


def _parts(fitness: float, rounds: Any, files: Any, metric: str) -> Iterator[Part]:
    """The search, whose cost is in ``best.json``, and the finalists if there were any."""
    from opanas_cli.formats import read_record

    spent = read_record(files.best).metadata["spent"]
    yield Part("search", files.best, [spent.get("evolve")], fitness, metric)
    if rounds:
        yield Part("finalists", files.finalists, [spent["finalists"]], max(rounds[-1]["figures"].values()), metric)


def _figures(figures: dict[str, float]) -> str:
    """The figures of a round by genotype, best first."""
    ranked = sorted(figures.items(), key=lambda item: -item[1])
    return "; ".join(f"{figure:.4f} {genotype}" for genotype, figure in ranked)
