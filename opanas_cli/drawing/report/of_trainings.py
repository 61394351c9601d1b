"""What a report shows of trainings: the super-net's, those of single detectors, and experiments with many of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import ceil, fsum
from typing import Any

from opanas_cli.drawing.report.charts import Point, Series, bar, chart, matrix
from opanas_cli.drawing.report.markup import (
    Html,
    code,
    element,
    entry,
    facts,
    folded,
    is_number,
    joined,
    paragraph,
    table,
)
from opanas_cli.drawing.report.training_logs import Training
from opanas_cli.drawing.report.work_dir import WorkDir
from opanas_cli.formats.text import line_of
from opanas_cli.genotype import Genotype
from opanas_cli.genotype.edges import Edge
from opanas_cli.search.rounds import last_rounds

MOST_POINTS = 300
"""Of a curve; of a longer one every second, third … row is shown."""
MOST_METRICS = 12
"""Of a test."""
MOST_LINES = 1500
"""Of a config's text."""
CELL = (64.0, 30.0)
IMPORTANCE = re.compile(r"edge_importance/(\d{1,2})_(\d{1,2})")


def progress(found: WorkDir) -> Html | None:
    """How far the super-net's training is."""
    if found.super_net is None:
        return None
    has_ended = "supernet.pth" not in (*found.missing, *found.problems)
    return paragraph(f"Super-net: {found.super_net.position(has_ended)}")


def losses(found: WorkDir) -> Html | None:
    """The losses of the super-net's training, and the mean AP of random sub-nets."""
    if found.super_net is None:
        return None
    names = {name for row in found.super_net.steps for name in row if re.fullmatch(r"sub_nets/mean_\w+", name)}
    watched = sorted(names)[:1]  # Of one metric; but a file may hold anything.
    return joined(_curve(found.super_net, name) for name in ["loss", *watched])


def _curve(training: Training, name: str) -> Html:
    rows, label = training.having(name), name.removeprefix("sub_nets/").replace("_", " ")
    every = ceil(len(rows) / MOST_POINTS) or 1
    kept = rows[::-every][::-1]
    points = [Point(row["step"], row[name], f"step {row['step']}: {label} {row[name]:.4f}") for row in kept]
    drawn = chart(f"{label} by step", ("step", label), [Series(label, points, is_line=True)])
    columns = [column for column in ("epoch", "step", name, "lr", "grad_norm") if any(column in row for row in kept)]
    figures = table(columns, ([row.get(column) for column in columns] for row in kept))
    return joined([drawn, folded(f"Table, 1 of {every} rows of the log" if every > 1 else "Table", figures)])


def importances(found: WorkDir) -> Html | None:
    """The edge importances at the last epoch so far, as a matrix."""
    rows = found.super_net.steps if found.super_net else []
    last: dict[str, Any] = next((row for row in reversed(rows) if any(map(IMPORTANCE.fullmatch, row))), {})
    named = [(IMPORTANCE.fullmatch(name), value) for name, value in last.items() if is_number(value)]
    values = {Edge(int(match[1]), int(match[2])): value for match, value in named if match}
    if not values:
        return None
    low, high = min(values.values()), max(values.values())

    def boxes(edge: Edge, left: float, top: float) -> list[Html]:
        share = (values[edge] - low) / (high - low or 1)
        box = left + 1, top + 1, CELL[0] - 2, CELL[1] - 2
        text = element("text", f"{values[edge]:.4f}", x=left + CELL[0] / 2, y=top + 19, text_anchor="middle")
        return [bar(f"edge {edge}: {values[edge]:.6f}", box, "heat", fill_opacity=0.08 + 0.5 * share), text]

    text = "The importance γ of each edge, in the row of its source and the column of its target."
    figures = folded("Table", table(["edge", "importance"], values.items()))
    return joined([paragraph(text), matrix("Edge importances", list(values), CELL, boxes), figures])


def finalists(found: WorkDir) -> Html | None:
    """The candidates that were trained alone at the end of a search."""
    return _rows(found, "finalists.jsonl")


def _rows(found: WorkDir, name: str) -> Html | None:
    """A row for each training of an experiment."""
    rows = found.rows.get(name, [])
    costs = ("epochs", "macs", "params", "seconds")
    cells = (
        [code(row["network"]), row["seed"], entry(row, "metrics", found.metric), *(row.get(cost) for cost in costs)]
        for row in rows
    )
    return table(["network", "seed", found.metric, *costs], cells) if rows else None


def retrained(found: WorkDir) -> Html | None:
    """The detectors that were trained in full, with their figures on the test split."""
    if not found.trained:
        return None
    names = list(dict.fromkeys(name for training in found.trained.values() for name in training.tested))[:MOST_METRICS]
    rows = (
        [
            folder,
            *(training.tested.get(name) for name in names),
            *(entry(found.documents, "search.json", "stages", folder, cost) for cost in ("macs", "params")),
            training.position(has_ended=bool(training.tested)),
            _neck(training),
        ]
        for folder, training in found.trained.items()
    )
    return table(["log", *names, "macs", "params", "trained", "neck"], rows)


def _neck(training: Training) -> Html | None:
    """A dense genotype: configs hold others, and necks of other kinds, in other forms."""
    paths = re.findall(r"\w+", training.settings.get("neck", ""))
    return code(line_of(Genotype.of(paths))) if paths else None


def comparison(found: WorkDir) -> Html | None:
    """A genotype against other networks of the same cost."""
    document = found.documents.get("comparison.json")
    if document is None:
        return _rows(found, "comparison.jsonl")
    networks, metric = document["networks"], document["metric"]
    titles = ["name", "mean", "deviation", "macs", "params", "seconds", "verdict"]
    rows = (
        [*(network[title] for title in titles), _interval(network["difference"]), code(network["genotype"] or "")]
        for network in networks
    )
    points = [
        Point(place, value, f"{network['name']} {network['genotype'] or ''}: {metric} {value:.4f}")
        for place, network in enumerate(networks, 1)
        for value in network["figures"]
    ]
    head = [*titles[:-1], f"{networks[0]['name']} is", "by", "genotype"]
    axes = "network, in the order of the table", f"{metric} on the test split"
    return joined([chart(f"{metric} by network", axes, [Series("a seed", points)]), table(head, rows)])


def correlation(found: WorkDir) -> Html | None:
    """How a super-net ranks networks, and how they rank when trained alone."""
    document = found.documents.get("correlation.json")
    if document is None:
        return _rows(found, "correlation.jsonl")
    metric, measures = document["metric"], ["kendall", "spearman", "kendall_at_equal_macs"]
    rows = [
        [code(one["genotype"]), one["super_net"], fsum(one["alone"]) / len(one["alone"]), one["macs"]]
        for one in document["networks"]
    ]
    points = [Point(judged, alone, f"{line}: {judged:.4f}, alone {alone:.4f}") for line, judged, alone, _ in rows]
    axes = f"{metric} in the super-net", f"{metric} trained alone"
    ranked = ([name, *(_interval(document[name][one]) for one in measures)] for name in ("super_net", "macs"))
    figures = folded("Table", table(["genotype", *axes, "macs"], rows))
    return joined([chart(" and ".join(axes), axes, [Series("networks", points)]), figures,
                   table(["ranked by", *measures], ranked)])  # fmt: skip


def _interval(estimate: Mapping[str, Any] | None) -> str | None:
    figures = [entry(estimate, name) for name in ("value", "low", "high")]
    return "{:.3f} ({:.3f} to {:.3f})".format(*figures) if all(map(is_number, figures)) else None


def times(found: WorkDir) -> Html | None:
    """How long each stage took, the images that it put through a backbone, and the most memory that it held."""
    timed = entry(found.documents, "search.json", "seconds") or {}
    rows = [[f"search: {stage}", value, None, None, "the command"] for stage, value in timed.items()]
    costs = ("device_seconds", "images", "peak_memory_mb")
    for stage, spent in (entry(found.best.metadata, "spent") or {} if found.best else {}).items():
        rows.append([stage, *(entry(spent, cost) for cost in costs), "best.json"])
    trainings = ({"super-net": found.super_net} if found.super_net else {}) | found.trained
    for name, training in trainings.items():
        memory = max((row["memory"] for row in training.having("memory")), default=None)
        rows.append([f"{name}, log", training.seconds, None, memory, "first to last line"])
    for name, own in found.rows.items():
        if name == "finalists.jsonl":
            own = last_rounds(own)
        every = [entry(row, "spent", "device_seconds") or row.get("seconds") for row in own]
        known = list(filter(is_number, every))
        measured = "sum of the rows" if len(known) == len(own) else f"sum of the {len(known)} rows that have it"
        rows.append([f"{name}, trainings: {len(own)}", fsum(known), None, None, measured])
    return table(["stage", "seconds", "images", "peak MB", "measured by"], rows) if rows else None


def config(found: WorkDir) -> Html | None:
    """The config and the versions of the super-net's training, else of the first detector's."""
    trainings = [one for one in (found.super_net, *found.trained.values()) if one is not None]
    if not trainings:
        return None
    version = {"opanas": entry(found.best.metadata, "provenance", "opanas_version") if found.best else None}
    lines = trainings[0].config.splitlines(keepends=True)
    cut = [f"… {len(lines) - MOST_LINES} more lines"] if len(lines) > MOST_LINES else []
    text = element("pre", *lines[:MOST_LINES], *cut, tabindex=0)
    return joined([facts({**trainings[0].settings, **version, **trainings[0].versions}), folded("The config", text)])
