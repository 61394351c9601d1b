"""What a report shows of trainings: the super-net's, those of single detectors, and experiments with many of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from opanas_cli.drawing.report.charts import Point, Series, bar, chart, matrix
from opanas_cli.drawing.report.markup import (
    Html,
    element,
    entry,
    facts,
    figure,
    folded,
    is_number,
    joined,
    mean,
    paragraph,
    seconds,
    table,
)
from opanas_cli.drawing.report.markup import quantity as short
from opanas_cli.drawing.report.search_sections import MOST_EDGES
from opanas_cli.drawing.report.training_logs import Training
from opanas_cli.drawing.report.work_dir import WorkDir
from opanas_cli.formats.text import line_of
from opanas_cli.genotype import Genotype
from opanas_cli.genotype.edges import MAX_NODES, Edge

MOST_POINTS = 300
"""Of a curve; of a longer one every second, third … row is shown, and the last."""
MOST_ROWS = 1000
"""Of a table of trainings."""
MOST_LINES = 1500
"""Of a config's text."""
CELL = (64.0, 30.0)
IMPORTANCE = re.compile(r"edge_importance/(\d{1,2})_(\d{1,2})")
MEAN = re.compile(r"sub_nets/mean_\w+")


def progress(found: WorkDir) -> Html | None:
    """How far the super-net's training is."""
    return paragraph(f"Super-net: {found.super_net.position}.") if found.super_net else None


def losses(found: WorkDir) -> Html | None:
    """The losses of the super-net's training, and the mean AP of random sub-nets."""
    if found.super_net is None:
        return None
    parts = [_curve(found.super_net, "loss")]
    names = {name: None for row in found.super_net.steps for name in row if MEAN.fullmatch(name)}
    parts += [_curve(found.super_net, name, name.removeprefix("sub_nets/").replace("_", " ")) for name in names]
    return joined(parts)


def _curve(training: Training, name: str, label: str | None = None) -> Html:
    rows = training.of(name)
    every = -(-len(rows) // MOST_POINTS) or 1
    kept = [row for place, row in enumerate(rows, 1) if place % every == 0 or place == len(rows)]
    label = label or name
    points = [Point(row["step"], row[name], f"step {row['step']}: {label} {row[name]:.4f}") for row in kept]
    note = f"Table, every {every} rows of the log" if every > 1 else "Table"
    columns = [row for row in ("epoch", "step", name, "lr", "grad_norm") if any(row in one for one in kept)]
    cells = ([figure(row.get(column), 6 if column == "lr" else 4) for column in columns] for row in kept)
    return joined([chart(f"{label} by step", ("step", label), [Series(label, points, is_line=True)]),
                   folded(note, table([label if column == name else column for column in columns], cells))])  # fmt: skip


def importances(found: WorkDir) -> Html | None:
    """The edge importances at the last epoch so far, as a matrix."""
    rows = found.super_net.steps if found.super_net else []
    values: dict[Edge, float] = {}
    for name, value in next((row for row in reversed(rows) if any(map(IMPORTANCE.fullmatch, row))), {}).items():
        match = IMPORTANCE.fullmatch(name)
        if match and is_number(value):
            edge = Edge(int(match[1]), int(match[2]))
            if edge.source < edge.target <= MAX_NODES:
                values[edge] = value
    if not values:
        return None
    low, high = min(values.values()), max(values.values())

    def cell(edge: Edge, left: float, top: float) -> list[Html]:
        share = (values[edge] - low) / (high - low) if high > low else 1.0
        box = left + 1, top + 1, CELL[0] - 2, CELL[1] - 2
        middle = {"x": left + CELL[0] / 2, "y": top + CELL[1] / 2 + 4, "text_anchor": "middle"}
        return [
            bar(f"edge {edge}: {values[edge]:.6f}", box, class_="mark heat", fill_opacity=0.08 + 0.5 * share),
            element("text", f"{values[edge]:.3f}", **middle),
        ]

    edges = sorted(values, key=lambda edge: (edge.target, edge.source))
    drawn = [matrix("Edge importances", edges, CELL, cell)] if len(edges) <= MOST_EDGES else []
    cells = ([str(edge), figure(values[edge], 6)] for edge in edges)
    text = "The importance γ of each edge: the row is its source, the column its target. Darker is larger."
    return joined([paragraph(text), *drawn, folded("Table", table(["edge", "importance"], cells))])


def finalists(found: WorkDir) -> Html | None:
    """The candidates that were trained alone at the end of a search."""
    rows = found.rows.get("finalists.jsonl")
    return _trainings(rows, str(found.setting("metric") or "AP")) if rows else None


def _trainings(rows: Sequence[Mapping[str, Any]], metric: str) -> Html:
    """A row for each training of an experiment."""
    cells = (
        [
            element("code", str(row["network"])),
            str(row["seed"]),
            figure(row.get("epochs")),
            figure(entry(row, "metrics", metric)),
            short(row.get("macs")),
            short(row.get("params")),
            seconds(row.get("seconds")),
        ]
        for row in rows[:MOST_ROWS]
    )
    return table(["network", "seed", "epochs", metric, "MACs", "parameters", "time"], cells)


def retrained(found: WorkDir) -> Html | None:
    """The detectors that were trained in full, with their figures on the test split."""
    if not found.trained:
        return None
    sizes = {name: entry(found.documents, "quickstart.json", name) or {} for name in found.trained}
    names = list(dict.fromkeys(name for training in found.trained.values() for name in training.tested))
    rows = [
        [
            "this folder" if name == "." else name,
            *(figure(training.tested.get(metric)) for metric in names),
            *(short(sizes[name].get(cost)) for cost in ("macs", "params")),
            training.position,
            seconds(training.seconds),
            _neck(training),
        ]
        for name, training in found.trained.items()
    ]
    return table(["folder", *names, "MACs", "parameters", "trained", "time", "neck"], rows)


def _neck(training: Training) -> Html:
    neck = entry(training.config, "model", "neck") or {}
    try:
        return element("code", line_of(Genotype.of(neck["genotype"], neck.get("space", "dense"))))
    except Exception:  # Whatever a config may hold there.
        return joined([str(neck.get("type", "–") if isinstance(neck, dict) else "–")])


def comparison(found: WorkDir) -> Html | None:
    """A genotype against other networks of the same cost."""
    document = found.documents.get("comparison.json")
    if not document:
        rows = found.rows.get("comparison.jsonl")
        return _trainings(rows, str(found.setting("metric") or "AP")) if rows else None
    networks, metric = document["networks"], str(document["metric"])
    dots, means = [], []
    for place, network in enumerate(networks):
        named = f"{network['name']} {network['genotype'] or ''}".strip()
        for seed, value in zip(document["seeds"], network["figures"], strict=True):
            dots.append(Point(value, -place, f"{named}, seed {seed}: {metric} {value:.4f}"))
        means.append(Point(network["mean"], -place, f"{named}: mean {metric} {network['mean']:.4f}", None, "large"))
    names = {-place: str(network["name"]) for place, network in enumerate(networks)}
    rows = [
        [
            str(network["name"]),
            figure(network["mean"]),
            figure(network["deviation"]),
            *(figure(entry(network, "difference", part)) for part in ("value", "low", "high")),
            str(network["verdict"] or ""),
            short(network["macs"]),
            short(network["params"]),
            seconds(network["seconds"]),
            element("code", str(network["genotype"] or "")),
        ]
        for network in networks[:MOST_ROWS]
    ]
    head = ["network", f"mean {metric}", "deviation", f"{networks[0]['name']} over it", "from", "to", "verdict"]
    plot = chart(f"{metric} of networks by seed", (f"{metric} on the test split", ""),
                 [Series("a seed", dots), Series("mean", means)], names=names)  # fmt: skip
    return joined([plot, folded("Table", table([*head, "MACs", "parameters", "time", "genotype"], rows))])


def correlation(found: WorkDir) -> Html | None:
    """How a super-net ranks networks, and how they rank when trained alone."""
    document = found.documents.get("correlation.json")
    if not document:
        rows = found.rows.get("correlation.jsonl")
        return _trainings(rows, str(found.setting("metric") or "AP")) if rows else None
    metric, points, rows = str(document["metric"]), [], []
    for network in document["networks"][:MOST_ROWS]:
        alone, line = mean(network["alone"]), str(network["genotype"])
        title = f"{line}: {metric} {network['super_net']:.4f} in the super-net, {alone:.4f} alone"
        points.append(Point(network["super_net"], alone, title))
        rows.append([element("code", line), figure(network["super_net"]), figure(alone), short(network["macs"])])
    measures = ["kendall", "spearman", "kendall_at_equal_macs"]
    ranked = (
        [name.replace("_", "-"), *(_interval(document[name][measure]) for measure in measures)]
        for name in ("super_net", "macs")
    )
    return joined(
        [
            chart(f"{metric} alone against {metric} in the super-net",
                  (f"{metric} in the super-net", f"{metric} trained alone"), [Series("networks", points)]),
            table(["ranked by", "Kendall τ", "Spearman ρ", "Kendall τ at equal MACs"], ranked),
            folded("Table", table(["genotype", "in the super-net", "alone", "MACs"], rows)),
        ]
    )  # fmt: skip


def _interval(estimate: Mapping[str, Any]) -> Html:
    value, low, high = (figure(estimate[name], 2) for name in ("value", "low", "high"))
    return joined([value, " (", low, " to ", high, ")"])


def times(found: WorkDir) -> Html | None:
    """How long each stage took, and the most memory of a GPU that a training held."""
    rows = [
        [f"quickstart: {stage}", seconds(value), "", "the command"]
        for stage, value in (entry(found.documents, "quickstart.json", "seconds") or {}).items()
    ]
    trainings = {"super-net": found.super_net} | {f"retrain in {name}": one for name, one in found.trained.items()}
    for name, training in trainings.items():
        if training is not None:
            memory = max((row["memory"] for row in training.of("memory")), default=None)
            held = "" if memory is None else joined([figure(memory), " MB"])
            rows.append([name, seconds(training.seconds), held, "first to last line of the log"])
    for name, own in found.rows.items():
        known = [row["seconds"] for row in own if is_number(row.get("seconds"))]
        rows.append([f"{name}: {len(own)} trainings", seconds(sum(known) if known else None), "", "the rows' sum"])
    return table(["stage", "time", "GPU memory", "measured by"], rows) if rows else None


def config(found: WorkDir) -> Html | None:
    """The config of the super-net's training, or of a single one, and the versions of what ran."""
    trainings = [one for one in (found.super_net, *found.trained.values()) if one is not None]
    if not trainings:
        return None
    training, of = trainings[0], trainings[0].config.get
    version = entry(found.best.metadata, "provenance", "opanas_version") if found.best else None
    optimizer = entry(of("optim_wrapper"), "optimizer") or {}
    rows = {
        "data": of("data_root"),
        "batch size": entry(of("train_dataloader"), "batch_size"),
        "epochs": entry(of("train_cfg"), "max_epochs"),
        "optimizer": ", ".join(f"{key} {value}" for key, value in optimizer.items()),
        "seed": entry(of("randomness"), "seed"),
        "opanas": version,
        **training.versions,
    }
    lines = training.config_text.splitlines(keepends=True)
    cut = [f"… {len(lines) - MOST_LINES} more lines"] if len(lines) > MOST_LINES else []
    return joined([facts(rows), folded("The whole config", element("pre", *lines[:MOST_LINES], *cut))])
