"""How well super-nets rank all necks of the ground truth, by how they were trained.

python benchmarks/rankings.py --setting all-paths [--seeds N] [--cfg-options KEY=VALUE ...]
python benchmarks/rankings.py --setting all-paths --seeds 0 [--truth TABLE] [--max-macs G]

Trains the super-net of benchmarks/configs/hard_shapes.py from the FPN detector of benchmarks/ground_truth.py, and
evaluates every neck of the table in it, on the images held out from its training and on many more of the same kind. A
super-net whose row the results have is not trained again; the second command prints only, against the table that has
the same norms, and --chart draws it.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import time
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from ground_truth import HERE, config_of, genotypes_of_the_space, in_a_child, prepare
from ground_truth_table import groups_of, print_super_net, report_of_super_net
from hard_shapes import HARD_SHAPES

from opanas_cli.atomic import write_atomically
from opanas_cli.detection.data.shapes import generate_shapes
from opanas_cli.detection.evaluating.evaluator import SuperNetEvaluator
from opanas_cli.detection.super_net_file import read_super_net
from opanas_cli.detection.training.supernet_training import train_super_net
from opanas_cli.drawing.charts import draw_correlation
from opanas_cli.formats.text import line_of

MORE_SEED = 1000


def main() -> None:
    """Train and evaluate what has no row yet."""
    options = parsed_options()
    torch.set_num_threads(1)
    if options.seeds:
        prepare(options)
    if options.seeds and options.more_images:
        with FileLock(options.work_dir / "preparing.lock"):
            generate_shapes(options.work_dir / "more", 1, options.more_images, MORE_SEED, HARD_SHAPES)
    for seed in range(options.seeds):
        key = (options.setting, seed)
        if key not in {(row["setting"], row["seed"]) for row in rows_of(options.results)}:
            add(options, in_a_child(row_of, options, seed))
    truth = [row for row in json.loads(options.truth.read_text())["rows"] if row["macs"] <= options.max_macs * 1e9]
    own = [row for row in rows_of(options.results) if row["setting"] == options.setting]
    reports = [report_of_super_net(row, truth) for row in own]
    if options.chart:
        draw_correlation(chart_of(own[0], truth, reports[0]), options.chart)
    if options.json:
        print(json.dumps({"version": 1, "super_nets": reports}))
    else:
        for report in reports:
            print_super_net(report)


def parsed_options() -> argparse.Namespace:
    """What the user asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--setting", required=True, help="a name for the options")
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="super-nets (1)")
    parser.add_argument("--cfg-options", nargs="*", default=[], metavar="KEY=VALUE")
    parser.add_argument("--images", nargs=2, type=int, default=(400, 200))
    parser.add_argument("--data-seed", type=int, default=0)
    parser.add_argument("--start-epochs", default=24, type=int)
    parser.add_argument(
        "--more-images", type=int, default=600, metavar="N", help="evaluate on these too; 0 is none (600)"
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--work-dir", type=Path, default=Path("runs/ground-truth"))
    parser.add_argument("--results", type=Path, default=HERE / "results" / "rankings.json")
    parser.add_argument("--truth", type=Path, default=HERE / "results" / "ground_truth.json", help="the table")
    parser.add_argument("--max-macs", type=float, default=math.inf, metavar="G", help="of the networks (no limit)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--chart", type=Path, help="an SVG of the first super-net's ranking")
    parser.add_argument("--keep", type=Path, help="keep supernet.pth files in this folder")
    return parser.parse_args()


def row_of(options: argparse.Namespace, seed: int) -> dict[str, Any]:
    """Train one super-net, and evaluate all genotypes."""
    config, device = config_of(options), torch.device(options.device)
    folder = options.work_dir / "super-nets" / f"{options.setting}-{seed}"
    shutil.rmtree(folder, ignore_errors=True)
    started = time.process_time()
    trained = train_super_net(config, folder, seed, device)
    seconds = time.process_time() - started
    content = read_super_net(trained.path)
    genotypes = genotypes_of_the_space()
    started = time.process_time()
    held_out = evaluated(config, content, trained.path, content["meta"]["search_split"], device, genotypes)
    evaluation = time.process_time() - started
    config.val_dataloader.dataset.data_root = str(options.work_dir / "more")
    many = evaluated(config, content, trained.path, 0, device, genotypes) if options.more_images else {}
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
        shutil.copy(trained.path, options.keep / f"{options.setting}-{seed}.pth")
    shutil.rmtree(folder)
    return {
        "setting": options.setting,
        "options": options.cfg_options,
        "seed": seed,
        "steps": trained.steps,
        "train_cpu_seconds": round(seconds, 1),
        "evaluate_cpu_seconds": round(evaluation, 1),
        "edge_importance": [round(value, 4) for value in trained.edge_importance],
        "AP": held_out,
        "AP_many": many,
    }


def evaluated(
    config: Any, content: Any, path: Path, split: float, device: torch.device, genotypes: Any
) -> dict[str, float]:
    """AP of all genotypes."""
    evaluator = SuperNetEvaluator(config, content["state_dict"], path, split, device)
    found = evaluator.evaluate(genotypes)
    return {line_of(one): round(at.metrics["AP"], 5) for one, at in zip(genotypes, found, strict=True)}


def chart_of(row: dict[str, Any], truth: list[dict[str, Any]], report: dict[str, Any]) -> dict[str, Any]:
    """What `draw_correlation` draws of a super-net and the table."""
    macs = {one["genotype"]: one["macs"] for one in truth}
    networks = [
        {"super_net": row["AP"][line], "alone": alone, "macs": macs[line]} for line, alone in groups_of(truth).items()
    ]
    return {"metric": "AP", "networks": networks, "super_net": {"kendall": report["tau"]}}


def rows_of(path: Path) -> list[dict[str, Any]]:
    """All rows so far."""
    return json.loads(path.read_text())["rows"] if path.exists() else []


def add(options: argparse.Namespace, row: dict[str, Any]) -> None:
    """Add a row."""
    with FileLock(options.work_dir / "rankings.lock"):
        rows = ",\n".join(json.dumps(one) for one in [*rows_of(options.results), row])
        write_atomically(options.results, f'{{"version": 1, "rows": [\n{rows}\n]}}\n')


if __name__ == "__main__":
    main()
