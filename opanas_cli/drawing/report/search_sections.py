"""What a report shows of a search: its settings, the candidates, and which paths they have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from math import ceil
from typing import NamedTuple

from opanas_cli.drawing.diagram import Diagram
from opanas_cli.drawing.report.charts import Limit, Point, Series, bar, chart, matrix
from opanas_cli.drawing.report.graph import graph
from opanas_cli.drawing.report.markup import (
    Html,
    element,
    entry,
    facts,
    figure,
    folded,
    joined,
    mean,
    paragraph,
    table,
)
from opanas_cli.drawing.report.markup import quantity as short
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
MOST_GROUPS = 20
"""Of generations: if there are more, several are shown as one."""
MOST_EDGES = 66
"""A dense space of eleven nodes has so many; a larger one does not fit on a page."""
MOST_DRAWN = 6
"""Genotypes."""
RANKED = 40
"""Candidates among which the best architectures are looked for."""
CELL = (108.0, 66.0)

AXES = {Resource.MACS: "G MACs", Resource.PARAMS: "M parameters", Resource.LATENCY: "ms for one image"}
UNITS = {Resource.MACS: 1e9, Resource.PARAMS: 1e6, Resource.LATENCY: 1.0}
LIMITS = {Resource.MACS: "max_macs", Resource.PARAMS: "max_params", Resource.LATENCY: "max_latency_ms"}


class Group(NamedTuple):
    """The candidates of one generation, or of several in a row."""

    name: str
    candidates: list[Candidate]


def settings(found: WorkDir) -> Html | None:
    """What was searched, and by which settings."""
    if not found.settings:
        return None
    of, evaluation = found.setting, found.setting("evaluation") or {}
    budget, backbone = of("budget"), entry(evaluation, "model", "backbone")
    limits = [format_resource(resource, most) for resource in Resource if (most := _limit(found, resource))]
    parts = [entry(evaluation, "model", "type"), entry(backbone, "type"), entry(backbone, "depth")]
    split = evaluation.get("search_split")
    return facts(
        {
            "space": f"{of('space', 'kind')}, {of('space', 'num_nodes')} nodes: {', '.join(of('space', 'paths'))}",
            "strategy": f"{of('strategy')}, seed {of('seed')}",
            "budget": f"{_budget(found)} candidates: {', '.join(f'{name} {budget[name]}' for name in budget)}",
            "limits": " and ".join(f"at most {limit}" for limit in limits) or "none",
            "metric": of("metric"),
            "images": evaluation.get("num_images"),
            "taken from": f"the training images, {split} of them"
            if split
            else "the validation set"
            if split == 0
            else "",
            "classes": ", ".join(evaluation.get("classes", [])),
            "annotations": ", ".join(evaluation.get("annotations", [])),
            "detector": " ".join(str(part) for part in parts if part is not None),
            "neck's channels": entry(evaluation, "model", "neck", "out_channels"),
            "device": evaluation.get("device"),
            "super-net": evaluation.get("super_net"),
        }
    )


def _budget(found: WorkDir) -> int:
    return int(found.setting("budget", "population")) * (int(found.setting("budget", "generations")) + 1)


def _limit(found: WorkDir, resource: Resource) -> float | None:
    return found.setting("constraints", LIMITS[resource])


def progress(found: WorkDir) -> Html | None:
    """How far the search is."""
    if not found.candidates:
        return None
    (best,) = fittest(found.candidates, 1)
    last = max(candidate.proposal.generation for candidate in found.candidates)
    return paragraph(
        f"Search: {len(found.candidates)} of {_budget(found)} candidates, generation {last}; best "
        f"{found.setting('metric')} {best.fitness:.4f}: ",
        element("code", line_of(best.genotype)),
    )


def grouped(candidates: Sequence[Candidate]) -> list[Group]:
    """The candidates by generation, or by ranges of generations if there are many."""

    def generation(candidate: Candidate) -> int:
        return candidate.proposal.generation

    ordered = sorted(candidates, key=generation)
    generations = [(number, list(own)) for number, own in groupby(ordered, key=generation)]
    size = ceil(len(generations) / MOST_GROUPS) or 1
    groups = []
    for start in range(0, len(generations), size):
        part = generations[start : start + size]
        name = str(part[0][0]) if len(part) == 1 else f"{part[0][0]}–{part[-1][0]}"
        groups.append(Group(name, [candidate for _, own in part for candidate in own]))
    return groups


def fitness(found: WorkDir) -> Html | None:
    """The best and the mean fitness of each generation, of candidates that saw all images."""
    whole = [candidate for candidate in found.candidates if candidate.image_share == 1]
    if not whole:
        return None
    metric, series, rows = str(found.setting("metric")), {}, []
    so_far = float("-inf")
    for group in grouped(whole):
        values = [candidate.fitness for candidate in group.candidates]
        so_far = max(so_far, *values)
        figures = {"best so far": so_far, "best of the generation": max(values), "mean": mean(values)}
        rows.append([group.name, str(len(values)), *map(figure, figures.values())])
        place = group.candidates[0].proposal.generation
        for name, value in figures.items():
            title = f"generation {group.name}: {name} {value:.4f}, {len(values)} candidates"
            series.setdefault(name, []).append(Point(place, value, title))
    drawn = chart(f"{metric} by generation", ("generation", metric),
                  [Series(name, points, is_line=True) for name, points in series.items()])  # fmt: skip
    return joined([drawn, folded("Table", table(["generation", "candidates", *series], rows))])


def candidates(found: WorkDir) -> Html | None:
    """All candidates as fitness against costs, with the Pareto front and the limits, and a table of them."""
    if not found.candidates:
        return None
    chosen = fittest(found.candidates, MOST_CANDIDATES)
    against = Resource(found.setting("budget", "against") or "macs")
    front = {resource: pareto_front(found.candidates, resource) for resource in dict.fromkeys([Resource.MACS, against])}
    left_out = len(found.candidates) - len(chosen)
    note = [paragraph(f"The fittest {len(chosen)}; {left_out} others are left out.")] if left_out else []
    plots = [_trade_off(found, chosen, members, resource) for resource, members in front.items()]
    return joined([*note, *plots, folded("Table of the candidates", _candidate_table(found, chosen, front[against]))])


def _trade_off(found: WorkDir, chosen: Sequence[Candidate], front: Sequence[Candidate], resource: Resource) -> Html:
    metric, unit = str(found.setting("metric")), UNITS[resource]

    def points(some: Sequence[Candidate]) -> list[Point]:
        return [
            Point(
                candidate.cost.of(resource) / unit,
                candidate.fitness,
                f"{line_of(candidate.genotype)} – candidate {candidate.index}: {metric} {candidate.fitness:.4f}, "
                f"{format_resource(resource, candidate.cost.of(resource))}, generation "
                f"{candidate.proposal.generation}, {candidate.proposal.origin}",
                f"candidate-{candidate.index}",
                "" if candidate.image_share == 1 else "partial",
            )
            for candidate in some
        ]

    on_front = {candidate.index for candidate in front}
    others = [candidate for candidate in chosen if candidate.index not in on_front]
    others.sort(key=lambda candidate: (candidate.cost.of(resource), candidate.index))
    most = _limit(found, resource)
    limits = [Limit(most / unit, f"at most {format_resource(resource, most)}")] if most else []
    return chart(
        f"{metric} against {AXES[resource]}",
        (AXES[resource], metric),
        [Series("candidates", points(others)), Series("Pareto front", points(front), is_line=True)],
        limits,
    )


def _candidate_table(found: WorkDir, chosen: Sequence[Candidate], front: Sequence[Candidate]) -> Html:
    on_front = {candidate.index for candidate in front}
    has_latency = any(candidate.cost.latency_ms is not None for candidate in chosen)
    head = ["candidate", str(found.setting("metric")), "MACs", "parameters", *(["ms"] if has_latency else [])]
    rows = [
        [
            str(candidate.index),
            figure(candidate.fitness),
            short(candidate.cost.macs),
            short(candidate.cost.params),
            *([figure(candidate.cost.latency_ms, 2)] if has_latency else []),
            str(candidate.proposal.generation),
            str(candidate.proposal.origin),
            " ".join(map(str, candidate.proposal.parents)),
            "front" if candidate.index in on_front else "" if candidate.image_share == 1 else "part of the images",
            element("code", line_of(candidate.genotype)),
        ]
        for candidate in chosen
    ]
    ids = [f"candidate-{candidate.index}" for candidate in chosen]
    return table([*head, "generation", "origin", "parents", "", "genotype"], rows, ids)


def paths(found: WorkDir) -> Html | None:
    """How often each path is on each edge, by generation."""
    if not found.candidates:
        return None
    edges, groups = found.candidates[0].genotype.edges, grouped(found.candidates)
    if len(edges) > MOST_EDGES:
        return paragraph(f"The {len(edges)} edges of the space are too many to show.", kind="missing")
    known = [PathType.parse(name) for name in found.setting("space", "paths")]
    counts = {
        edge: [Counter(candidate.genotype.paths[place] for candidate in group.candidates) for group in groups]
        for place, edge in enumerate(edges)
    }

    def cell(edge: Edge, left: float, top: float) -> list[Html]:
        width = (CELL[0] - 8) / len(groups)
        bars = []
        for column, (group, counted) in enumerate(zip(groups, counts[edge], strict=True)):
            total, bottom = counted.total(), top + CELL[1] - 4
            for path in known:
                if counted[path]:
                    share = counted[path] / total
                    title = f"edge {edge}, generation {group.name}: {path.label} {counted[path]} of {total}"
                    height = share * (CELL[1] - 8)
                    bottom -= height
                    box = left + 4 + column * width, bottom, max(width - 0.6, 0.4), height
                    bars.append(bar(title, box, class_="mark bar", fill=path.colour))
        return bars

    legend = (
        element("span", element("i", style=f"background: {path.colour}", class_="bar"), path.label, class_="entry")
        for path in known
    )
    rows = (
        [str(edge), group.name, *(str(counted[path]) for path in known)]
        for edge in edges
        for group, counted in zip(groups, counts[edge], strict=True)
    )
    return joined(
        [
            paragraph("A cell for each edge, in the row of its source and the column of its target; in it a bar for "
                      "each generation, the random one first."),
            matrix("How often each path is on each edge, by generation", edges, CELL, cell),
            paragraph(*legend, kind="legend"),
            folded("Table", table(["edge", "generation", *(path.label for path in known)], rows)),
        ]
    )  # fmt: skip


def best(found: WorkDir) -> Html | None:
    """The best architectures, drawn; and the one in ``best.json``, if it is of this search."""
    drawn, note = [], []
    for group in list(architectures(fittest(found.candidates, RANKED)).values())[:MOST_DRAWN]:
        first = group[0]
        drawn.append(_drawn(first.genotype, f"candidate {first.index}", first.fitness, first.cost.macs))
    if found.best is not None:
        provenance = found.best.metadata.get("provenance") or {}
        index = provenance.get("candidate")
        known = {candidate.index: candidate.genotype for candidate in found.candidates}
        if index in known and known[index] == found.best.genotype and provenance.get("search") == found.settings:
            note = [paragraph(f"best.json holds candidate {index}: {line_of(found.best.genotype)}.")]
        else:
            metadata = found.best.metadata
            value, macs = ((metadata.get(part) or {}).get(name) for part, name in
                           (("fitness", found.setting("metric") or "AP"), ("cost", "macs")))  # fmt: skip
            if found.candidates:
                note = [paragraph("best.json is not of the search in history.jsonl.", kind="problem")]
            drawn.append(_drawn(found.best.genotype, "best.json", value, macs))
    return joined([*note, element("div", *drawn, class_="graphs")]) if drawn else None


def _drawn(genotype: Genotype, title: str, value: object, macs: object) -> Html:
    line = element("code", line_of(genotype))
    caption = element("figcaption", f"{title}: ", figure(value), ", ", short(macs), " MACs", line)
    return element("figure", graph(Diagram.of(genotype, title)), caption)
