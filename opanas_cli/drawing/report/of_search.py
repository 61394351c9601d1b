"""What a report shows of a search: its settings, the candidates, and which paths they have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from math import ceil, fsum, inf

from opanas_cli.drawing.diagram import Diagram
from opanas_cli.drawing.report.charts import Point, Series, bar, chart, legend, matrix
from opanas_cli.drawing.report.graph import graph
from opanas_cli.drawing.report.markup import Html, cell, code, element, entry, facts, folded, joined, paragraph, table
from opanas_cli.drawing.report.work_dir import WorkDir
from opanas_cli.formats.text import line_of
from opanas_cli.genotype import Genotype
from opanas_cli.genotype.edges import Edge
from opanas_cli.genotype.paths import PathType
from opanas_cli.search import Candidate, Resource, fittest
from opanas_cli.search.candidate import pareto_front
from opanas_cli.search.cost import format_resource
from opanas_cli.search.findings import architectures

MOST_CANDIDATES = 3000
"""The fittest are shown if there are more."""
MOST_GENERATIONS = 20
"""Bars of an edge; of more generations every second, third … is shown."""
MOST_EDGES = 66
"""A dense space of eleven nodes has so many; a larger one does not fit on a page."""
MOST_DRAWN = 6
"""Genotypes; the best architectures among so many candidates as `RANKED`."""
RANKED = 40
CELL = (108.0, 66.0)

COSTS = {
    Resource.MACS: ("G MACs", 1e9, "max_macs"),
    Resource.PARAMS: ("M parameters", 1e6, "max_params"),
    Resource.LATENCY: ("ms for one image", 1.0, "max_latency_ms"),
}
"""How each cost is plotted: the name of the axis, its unit, and the setting that limits it."""


def settings(found: WorkDir) -> Html | None:
    """What was searched, and by which settings."""
    if not found.settings:
        return None
    space, evaluation = found.settings["space"], found.setting("evaluation") or {}
    detector = [entry(evaluation, "model", *keys) for keys in (["type"], ["backbone", "type"], ["backbone", "depth"])]
    return facts(
        {
            "space": f"{space['kind']}, {space['num_nodes']} nodes: {', '.join(space['paths'])}",
            "strategy": found.setting("strategy"),
            **found.settings["budget"],
            "seed": found.setting("seed"),
            **found.settings["constraints"],
            "metric": found.metric,
            **{name: evaluation.get(name) for name in ("num_images", "search_split", "split_by", "device")},
            **{name: ", ".join(evaluation.get(name) or []) for name in ("annotations", "classes")},
            "detector": " ".join(str(part) for part in detector if part is not None),
            "neck's channels": entry(evaluation, "model", "neck", "out_channels"),
            "super-net's SHA-256": evaluation.get("super_net"),
        }
    )


def progress(found: WorkDir) -> Html | None:
    """How far the search is."""
    if not found.candidates:
        return None
    (best,) = fittest(found.candidates, 1)
    budget = found.settings["budget"]
    total, last = budget["population"] * (budget["generations"] + 1), _by_generation(found.candidates)[-1][0]
    return paragraph(
        f"Search: {len(found.candidates)} of {total} candidates, generation {last} of {budget['generations']}; best "
        f"{found.metric} {best.fitness:.4f}: ",
        code(line_of(best.genotype)),
    )


def _by_generation(candidates: Sequence[Candidate]) -> list[tuple[int, list[Candidate]]]:
    ordered = sorted(candidates, key=lambda candidate: candidate.proposal.generation)
    return [(number, list(own)) for number, own in groupby(ordered, key=lambda one: one.proposal.generation)]


def fitness(found: WorkDir) -> Html | None:
    """The best and the mean fitness of each generation, of candidates that were evaluated on all images."""
    curves: dict[str, list[Point]] = {"best so far": [], "best": [], "mean": []}
    rows, so_far = [], -inf
    for number, own in _by_generation([one for one in found.candidates if one.image_share == 1]):
        values = [candidate.fitness for candidate in own]
        so_far = max(so_far, *values)
        figures = so_far, max(values), fsum(values) / len(values)
        rows.append([number, len(own), *figures])
        for (name, points), value in zip(curves.items(), figures, strict=True):
            points.append(Point(number, value, f"generation {number}: {name} {value:.4f} of {len(own)} candidates"))
    if not rows:
        return None
    series = [Series(name, points, is_line=True) for name, points in curves.items()]
    drawn = chart(f"{found.metric} by generation", ("generation", found.metric), series)
    return joined([drawn, folded("Table", table(["generation", "candidates", *curves], rows))])


def candidates(found: WorkDir) -> Html | None:
    """The candidates as fitness against the cost of the search, with the Pareto front and the limit, and a table."""
    if not found.candidates:
        return None
    against = Resource(found.settings["budget"]["against"])
    axis, unit, name = COSTS[against]
    chosen, front = fittest(found.candidates, MOST_CANDIDATES), pareto_front(found.candidates, against)
    on_front = {candidate.index for candidate in front}
    others = sorted((one for one in chosen if one.index not in on_front), key=lambda one: one.cost.of(against))
    most = found.settings["constraints"][name]
    drawn = chart(
        f"{found.metric} against {axis}",
        (axis, found.metric),
        [
            Series("candidates", [_point(found, one, against, unit) for one in others]),
            Series("Pareto front", [_point(found, one, against, unit) for one in front], is_line=True),
        ],
        (most / unit, f"at most {format_resource(against, most)}") if most else None,
    )
    rows = (
        [
            one.index,
            one.fitness,
            *one.cost.document().values(),
            one.proposal.generation,
            one.proposal.origin,
            " ".join(map(str, one.proposal.parents)),
            "" if one.image_share == 1 else f"{one.image_share:.0%} of the images",
            code(line_of(one.genotype)),
        ]
        for one in chosen
    )
    head = ["candidate", found.metric, *chosen[0].cost.document(), "generation", "origin", "parents", "", "genotype"]
    left_out = len(found.candidates) - len(chosen)
    note = [paragraph(f"The {left_out} least fit candidates are left out.")] if left_out else []
    return joined([*note, drawn, folded("Table", table(head, rows, (f"candidate-{one.index}" for one in chosen)))])


def _point(found: WorkDir, one: Candidate, against: Resource, unit: float) -> Point:
    cost = one.cost.of(against)
    title = (
        f"{line_of(one.genotype)}: {found.metric} {one.fitness:.4f}, {format_resource(against, cost)}, candidate "
        f"{one.index}, generation {one.proposal.generation}, {one.proposal.origin}"
    )
    return Point(cost / unit, one.fitness, title, f"candidate-{one.index}", "" if one.image_share == 1 else "partial")


def paths(found: WorkDir) -> Html | None:
    """How often each path is on each edge, by generation."""
    if not found.candidates:
        return None
    edges, generations = found.candidates[0].genotype.edges, _by_generation(found.candidates)
    every = ceil(len(generations) / MOST_GENERATIONS)
    if len(edges) > MOST_EDGES:
        return paragraph(f"The {len(edges)} edges of the space are too many to show.", kind="missing")
    kept = generations[::-every][::-1]
    known = [PathType.parse(name) for name in found.settings["space"]["paths"]]
    counts = {
        edge: {number: Counter(one.genotype.paths[place] for one in own) for number, own in kept}
        for place, edge in enumerate(edges)
    }
    width = (CELL[0] - 8) / len(kept)

    def bars(edge: Edge, left: float, top: float) -> list[Html]:
        found = []
        for column, (number, counted) in enumerate(counts[edge].items()):
            total, bottom = sum(counted.values()), top + CELL[1] - 4
            for path in filter(counted.get, known):
                height = counted[path] / total * (CELL[1] - 8)
                bottom -= height
                title = f"edge {edge}, generation {number}: {path.label} {counted[path]} of {total}"
                found.append(bar(title, (left + 4 + column * width, bottom, width * 0.95, height), "path", path.colour))
        return found

    rows = ([edge, number, *map(counts[edge][number].__getitem__, known)] for edge in edges for number in counts[edge])
    which = "each generation" if every == 1 else f"1 of {every} generations, the last among them"
    text = f"A row for the source of an edge, a column for its target; in it a bar for {which}."
    return joined(
        [
            paragraph(text),
            matrix("Paths on each edge by generation", edges, CELL, bars),
            legend({path.label: path.colour for path in known}),
            folded("Table", table(["edge", "generation", *(path.label for path in known)], rows)),
        ]
    )


def best(found: WorkDir) -> Html | None:
    """The best architectures, drawn; and what is in ``best.json``, which may be of another search."""
    groups = list(architectures(fittest(found.candidates, RANKED)).values())[:MOST_DRAWN]
    drawn = [_drawn(found, one.genotype, f"candidate {one.index}", one.fitness, one.cost.macs) for one, *_ in groups]
    notes = []
    if found.best is not None:
        genotype, about = found.best.genotype, found.best.metadata
        index = entry(about, "provenance", "candidate")
        evaluated = {one.index: one.genotype for one in found.candidates}
        if entry(about, "provenance", "search") == found.settings and evaluated.get(index) == genotype:
            notes = [paragraph(f"best.json holds candidate {index}: ", code(line_of(genotype)))]
        else:
            notes = [paragraph("best.json is not of this search.", kind="problem")] if found.candidates else []
            cost = entry(about, "cost", "macs")
            drawn.append(_drawn(found, genotype, "best.json", entry(about, "fitness", found.metric), cost))
    return joined([*notes, element("div", *drawn, class_="graphs")]) if drawn else None


def _drawn(found: WorkDir, genotype: Genotype, title: str, value: object, macs: object) -> Html:
    caption = [f"{title}: {found.metric} ", cell(value), ", ", cell(macs), " MACs", code(line_of(genotype))]
    return element("figure", graph(Diagram.of(genotype, title)), element("figcaption", *caption))
