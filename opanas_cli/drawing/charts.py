"""Charts of experiments: the figures of networks by seed, and a super-net's ranking against trainings alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opanas_cli.atomic import replacing
from opanas_cli.drawing.diagram import FADED, INK
from opanas_cli.drawing.style import opanas_style, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 6.4
ROW = 0.34
ACCENT = "#0B6E8F"


def draw_comparison(document: Mapping[str, Any], path: Path) -> None:
    """Write an SVG with a row for each network: a dot for each seed and a line at their mean.

    Args:
        document: as ``comparison.json`` holds it. The colour sets off the first network.
    """
    figures = {network["name"]: network["figures"] for network in document["networks"]}
    with opanas_style(), replacing(path) as temporary:
        figure, axes = _axes(WIDTH, 1.1 + ROW * len(figures))
        for row, values in enumerate(figures.values()):
            colour = INK if row else ACCENT
            axes.plot(values, [row] * len(values), "o", color=colour, markersize=5, alpha=0.7, linewidth=0)
            mean = sum(values) / len(values)
            axes.plot([mean, mean], [row - 0.3, row + 0.3], color=colour, linewidth=2)
            axes.annotate(f"{mean:.3f}", (1, row), xycoords=("axes fraction", "data"), xytext=(5, 0),
                          textcoords="offset points", size=9, color=colour, va="center")  # fmt: skip
        axes.set_yticks(range(len(figures)), list(figures))
        axes.set_ylim(len(figures) - 0.5, -0.5)
        axes.set_xlabel(f"{document['metric']} on the test split: a dot for each seed, a line at the mean")
        axes.grid(axis="x", color=FADED, linewidth=0.5)
        save(figure, temporary, ".svg")


def draw_correlation(document: Mapping[str, Any], path: Path) -> None:
    """Write an SVG in which each network is a dot: its figure in the super-net, and its mean figure alone.

    Args:
        document: as ``correlation.json`` holds it. The colour of a dot says its MACs.
    """
    networks, metric = document["networks"], document["metric"]
    with opanas_style(), replacing(path) as temporary:
        figure, axes = _axes(WIDTH, 4.6)
        judged, macs = ([network[key] for network in networks] for key in ("super_net", "macs"))
        alone = [sum(network["alone"]) / len(network["alone"]) for network in networks]
        for x, network in zip(judged, networks, strict=True):
            axes.plot([x, x], [min(network["alone"]), max(network["alone"])], color=FADED, linewidth=1, zorder=1)
        dots = axes.scatter(judged, alone, c=[count / 1e9 for count in macs], cmap="viridis", s=28, zorder=2)
        figure.colorbar(dots, label="G MACs")
        axes.set_xlabel(f"{metric} with the weights of the super-net")
        axes.set_ylabel(f"{metric} trained alone")
        tau = document["super_net"]["kendall"]
        if tau["value"] is not None and tau["low"] is not None:
            axes.set_title(f"Kendall's τ {tau['value']:.2f} ({tau['low']:.2f} to {tau['high']:.2f}), {len(networks)} "
                           "networks", size=10)  # fmt: skip
        save(figure, temporary, ".svg")


def _axes(width: float, height: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure((width, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes
