"""Table 6: the cost of every search method, and its winner trained alone, beside the published figures.

python benchmarks/methods.py --work-dir DIR [--json]
python benchmarks/methods.py --work-dir DIR --run [--config CONFIG] [--images N N] [--random N] [--cfg-options ...]

The first command prints what is in DIR: a folder for each method with best.json and detector.pth, and one called random
with comparison.jsonl. The second makes what is missing by the commands of opanas, one process each, and goes on where
it was stopped: super-nets, searches, the winners alone, and random genotypes at the MACs of the winner of `fair`. With
--truth, the table of benchmarks/ground_truth.py, it says where each winner stands among all necks of two nodes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from ground_truth_table import means_of

from opanas_cli.detection.checkpoints import read_checkpoint
from opanas_cli.detection.data.shapes import generate_shapes
from opanas_cli.detection.experiments.training_log import TrainingLog
from opanas_cli.detection.spent import Spent
from opanas_cli.formats import read_record
from opanas_cli.formats.text import line_of, loads
from opanas_cli.genotype.architecture import Architecture

PUBLISHED: dict[str, tuple[int, str, str, str]] = {
    "random": (55, "231/206", "36.4/35.9", "37.5/39.1"),
    "spos": (4, "207", "36.3", "38.4"),
    "darts": (5, "198", "37.8", "39.1"),
    "fair-darts": (4, "269", "36.2", "39.4"),
    "fair": (4, "197", "35.5", "39.6"),
}
"""GPU days on COCO, and of the architecture found G FLOPs, M parameters and mAP in percent (Table 6)."""

SPACES = {"spos": ("model.neck.space=chain",)}
"""The settings by which a method searches the space that the paper has it search."""

COLUMNS = ("seconds", "images", "evaluated", "peak MB", "M MACs", "M params", "AP alone", "days", "GFLOPs", "M", "mAP")


def main() -> None:
    """Run what is missing if asked to, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work-dir", type=Path, default=Path("runs/methods"), help="with a folder for each method")
    parser.add_argument("--run", action="store_true", help="run what is missing; else only print")
    parser.add_argument("--methods", nargs="*", default=list(PUBLISHED), choices=list(PUBLISHED), help="(all)")
    parser.add_argument("--config", default="shapes", help="of the super-net (shapes)")
    parser.add_argument("--images", nargs=2, type=int, default=(400, 100), help="to generate for `shapes` (400 100)")
    parser.add_argument("--random", type=int, default=3, metavar="N", help="random genotypes to train (3)")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cfg-options", nargs="*", default=[], metavar="KEY=VALUE")
    parser.add_argument("--truth", type=Path, help="a table of ground_truth.py, to look the winners up in")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    if options.run:
        run_all(options)
    rows = {method: row for method in options.methods if (row := row_of(options.work_dir / method))}
    if options.truth:
        for row in rows.values():
            row["truth"] = place_in(json.loads(options.truth.read_text())["rows"], row["genotype"])
    if options.json:
        published = {method: PUBLISHED[method] for method in rows}
        print(json.dumps({"version": 1, "methods": rows, "published": published}))
        return
    print(f"{'':10}" + "".join(f"{name:>11}" for name in COLUMNS))
    for method, row in rows.items():
        print(f"{method:10}" + "".join(f"{text:>11}" for text in (*shown(row), *map(str, PUBLISHED[method]))))
    for method, row in rows.items():
        place = row.get("truth")
        print(
            f"{method}: {row['genotype']}" + (f", rank {place['rank']}, regret {place['regret']:.4f}" if place else "")
        )


def place_in(truth: list[dict[str, Any]], genotype: str) -> dict[str, Any] | None:
    """The rank of a genotype's network among those of a table, the best being 1, and what its AP lacks to that one's.

    None if the table does not have it, such as a chain.
    """
    means = {Architecture(loads(line, line).genotype): ap for line, ap in means_of(truth).items()}
    own = means.get(Architecture(loads(genotype, genotype).genotype))
    if own is None:
        return None
    return {"rank": 1 + sum(ap > own for ap in means.values()), "of": len(means), "regret": max(means.values()) - own}


def shown(row: dict[str, Any]) -> list[str]:
    """The figures of a row as text."""
    spent = row["spent"]
    ap = "-" if row["AP"] is None else f"{row['AP']:.3f}"
    costs = [f"{spent['device_seconds']:.0f}", str(spent["images"]), str(spent["evaluations"])]
    return [*costs, f"{spent['peak_memory_mb']:.0f}", f"{row['macs'] / 1e6:.1f}", f"{row['params'] / 1e6:.2f}", ap]


def row_of(folder: Path) -> dict[str, Any] | None:
    """What a method found and spent; of random genotypes, whose trainings are the search, the best of them.

    A training that was killed between its end and its row has no known cost.
    """
    if (folder / "comparison.jsonl").exists():
        rows = [row for row in TrainingLog(folder / "comparison.jsonl").rows() if row["network"].startswith("random-")]
        best = max(rows, key=lambda row: row["metrics"]["AP"])
        spent = sum((Spent.of(row["spent"] or {}) for row in rows), Spent(evaluations=len(rows)))
        return {
            "genotype": best["genotype"],
            "spent": spent.document(),
            "macs": best["macs"],
            "params": best["params"],
            "AP": best["metrics"]["AP"],
            "AP_mean": sum(row["metrics"]["AP"] for row in rows) / len(rows),
        }
    if not (folder / "best.json").exists():
        return None
    record = read_record(folder / "best.json")
    detector = folder / "detector.pth"
    return {
        "genotype": line_of(record.genotype),
        "spent": sum(map(Spent.of, record.metadata["spent"].values()), Spent()).document(),
        **{name: record.metadata["cost"][name] for name in ("macs", "params")},
        "AP": read_checkpoint(detector)["meta"]["metrics"]["AP"] if detector.exists() else None,
    }


def run_all(options: argparse.Namespace) -> None:
    """Run what is missing of all methods, `fair` first."""
    settings = list(options.cfg_options)
    if options.config == "shapes" and not any(setting.startswith("data_root=") for setting in settings):
        root = options.work_dir / "data"
        if not (root / "annotations" / "val.json").exists():
            generate_shapes(root, *options.images)
        settings.append(f"data_root={root}")
    for method in sorted(options.methods, key=lambda name: (name == "random", name != "fair")):
        folder = options.work_dir / method
        own = [*SPACES.get(method, ()), *settings]
        given = ["--work-dir", folder, "--device", options.device, "--seed", options.seed, "--resume"]
        if method == "random":
            fair = ["--genotype", options.work_dir / "fair" / "best.json", "--seeds", 1]
            opanas("compare", options.config, *fair, "--against", f"random:{options.random}", *given, settings=own)
            continue
        super_net, best = folder / "supernet.pth", folder / "best.json"
        if not best.exists():
            opanas("train-supernet", options.config, "--method", method, *given, settings=own)
        if not best.exists():
            opanas("evolve", options.config, super_net, *given, settings=own)
        if not (folder / "detector.pth").exists():
            opanas("retrain", options.config, "--genotype", best, *given, settings=own)


def opanas(*arguments: object, settings: list[str]) -> None:
    """Run a command; a failure ends the benchmark."""
    command = [sys.executable, "-m", "opanas_cli", *map(str, arguments), "--cfg-options", *settings]
    if subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode:
        sys.exit(f"{' '.join(command[2:5])} failed")


if __name__ == "__main__":
    main()
