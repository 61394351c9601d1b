"""The paper's Figure 4: the mean AP of random sub-nets while the super-net trains, with and without edge importance.

    python benchmarks/figure_4.py --results benchmarks/results/figure_4.json --plot docs/pictures/figure-4.svg

The numbers are those that `supernet.watch_interval` logs: the same sub-nets after each epoch, on the images held out
from training. A super-net that RESULTS has is not trained again, so the program may be stopped and started at any time.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from opanas_cli.atomic import replacing, write_atomically
from opanas_cli.detection.configs.files import load_config
from opanas_cli.detection.configs.sections import section_of
from opanas_cli.detection.data.shapes import generate_shapes
from opanas_cli.detection.processes.devices import select_device
from opanas_cli.detection.training.supernet_training import train_super_net
from opanas_cli.drawing.style import opanas_style, save

ARMS = {"with edge importance": True, "without edge importance": False}
COLOURS = dict(zip(ARMS, ("#0B6E8F", "#D55E00"), strict=True))


def main() -> None:
    """Train what is missing, and print a table or a JSON document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="shapes", help="of the super-net; images of shapes are generated (shapes)")
    parser.add_argument("--epochs", type=int, default=8, help="of each super-net (8)")
    parser.add_argument("--sub-nets", type=int, default=20, help="whose AP is averaged (20; the paper: 50)")
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="super-nets of each kind (1)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:i (cpu)")
    parser.add_argument("--cfg-options", nargs="*", default=[], metavar="KEY=VALUE", help="as of opanas train-supernet")
    parser.add_argument("--results", type=Path, metavar="FILE", help="JSON to which each super-net is added")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the figure into a .svg, .png or .pdf")
    parser.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
    options = parser.parse_args()
    if min(options.epochs, options.sub_nets, options.seeds) < 1:
        parser.error("--epochs, --sub-nets and --seeds must be at least 1")

    results = options.results
    rows: list[dict[str, Any]] = json.loads(results.read_text())["rows"] if results and results.exists() else []
    chosen = []
    for seed in range(options.seeds):
        for arm in ARMS:
            key = {"config": Path(options.config).stem, "cfg_options": options.cfg_options, "epochs": options.epochs}
            key |= {"sub_nets": options.sub_nets, "arm": arm, "seed": seed}
            row = next((row for row in rows if key.items() <= row.items()), None)
            if row is None:
                row = {**key, **trained(options, arm, seed)}
                rows.append(row)
                if results:
                    write_atomically(results, json.dumps({"version": 1, "rows": rows}, indent=1) + "\n")
            chosen.append(row)
    if options.plot:
        plot(chosen, options.plot)
    if options.json:
        print(json.dumps({"version": 1, "rows": chosen}))
        return
    print(f"mean {chosen[0]['metric']} of {options.sub_nets} sub-nets after each epoch")
    for row in chosen:
        print(f"{row['arm']:24} seed {row['seed']}  " + " ".join(f"{value:.3f}" for value in row["means"]))


def trained(options: argparse.Namespace, arm: str, seed: int) -> dict[str, Any]:
    """The means of one super-net after each epoch, and the seconds that it took."""
    with tempfile.TemporaryDirectory() as folder:
        overrides = [f"supernet.epochs={options.epochs}", "supernet.watch_interval=1"]
        overrides += [f"supernet.watch_sub_nets={options.sub_nets}", f"model.neck.edge_importance={ARMS[arm]}"]
        if options.config == "shapes" and not any(key.startswith("data_root=") for key in options.cfg_options):
            generate_shapes(Path(folder, "data"))
            overrides.append(f"data_root={folder}/data")
        config = load_config(options.config, [*overrides, *options.cfg_options])
        started = time.perf_counter()
        watched = train_super_net(config, Path(folder), seed, select_device(options.device)).watched
    metric = section_of(config, "search").metric
    return {
        "metric": metric,
        "epoch": [row["epoch"] for row in watched],
        "step": [row["step"] for row in watched],
        "means": [row[f"mean_{metric}"] for row in watched],
        "seconds": round(time.perf_counter() - started, 1),
        "device": options.device,
        "torch": torch.__version__,
    }


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw a line for each arm, the mean of its seeds, and the range that they span."""
    from matplotlib.figure import Figure

    with opanas_style(), replacing(path) as temporary:
        figure = Figure((6.4, 3.6), layout="constrained")
        axes = figure.subplots()
        axes.spines[["top", "right"]].set_visible(False)
        for arm, colour in COLOURS.items():
            found = [row for row in rows if row["arm"] == arm]
            means = np.array([row["means"] for row in found])
            axes.fill_between(found[0]["epoch"], means.min(axis=0), means.max(axis=0), color=colour, alpha=0.15, lw=0)
            axes.plot(found[0]["epoch"], means.mean(axis=0), "o-", color=colour, label=arm, markersize=4)
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_ylabel(f"mean {rows[0]['metric']} of {rows[0]['sub_nets']} random sub-nets")
        axes.set_ylim(bottom=0)
        axes.legend(frameon=False, loc="upper left")
        save(figure, temporary, path.suffix)


if __name__ == "__main__":
    main()
