"""AP of one genotype trained alone, by how its neck starts and by seed.

python benchmarks/initialization.py CONFIG [--genotype G] [--seeds N] [--cfg-options KEY=VALUE ...] [--results FILE]

A training that RESULTS has a row of is not run again, so the program may be stopped and started at any time.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from opanas_cli.atomic import write_atomically
from opanas_cli.necks.initialization import INITS


def main() -> None:
    """Train what is missing, and print a table or a JSON document."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config")
    parser.add_argument("--genotype", default="opa-fpn", help="(default: opa-fpn)")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="(default: 3)")
    parser.add_argument("--cfg-options", nargs="*", default=[], metavar="KEY=VALUE", help="as of opanas retrain")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (cpu)")
    parser.add_argument("--results", type=Path, help="a JSON file to which each training is added")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()

    results = options.results
    rows: list[dict[str, Any]] = json.loads(results.read_text())["rows"] if results and results.exists() else []
    for seed in range(options.seeds):
        for init in INITS:
            key = {"config": Path(options.config).stem, "genotype": options.genotype, "init": init, "seed": seed}
            if any(key.items() <= row.items() for row in rows):
                continue
            rows.append({**key, **trained(options, init, seed)})
            if results:
                write_atomically(results, json.dumps({"version": 1, "rows": rows}, indent=1) + "\n")
    if options.json:
        print(json.dumps({"version": 1, "rows": rows}))
        return
    for config in dict.fromkeys(row["config"] for row in rows):
        for init in INITS:
            found = [row["AP"] for row in rows if (row["config"], row["init"]) == (config, init)]
            spread = statistics.stdev(found) if len(found) > 1 else float("nan")
            print(f"{config:14} {init:9} AP {statistics.mean(found):.3f} ± {spread:.3f}, n = {len(found)}")


def trained(options: argparse.Namespace, init: str, seed: int) -> dict[str, Any]:
    """AP and seconds of one training in a process of its own; a failure ends the benchmark."""
    overrides = [f"model.neck.init={init}", *options.cfg_options]
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "opanas_cli", "retrain", options.config, "--genotype", options.genotype]
        command += ["--work-dir", folder, "--seed", str(seed), "--device", options.device, "--json", "--cfg-options"]
        process = subprocess.run([*command, *overrides], stdout=subprocess.PIPE, text=True, check=False)
    if process.returncode:
        sys.exit(f"retrain failed with exit code {process.returncode}")
    return {"AP": json.loads(process.stdout)["metrics"]["AP"], "seconds": round(time.perf_counter() - started, 1)}


if __name__ == "__main__":
    main()
