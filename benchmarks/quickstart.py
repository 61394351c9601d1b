"""The quickstart as a process: its table, its seconds and its peak memory.

python benchmarks/quickstart.py [--json] [--device DEVICE] [--seed N]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from typing import Any

SECONDS_LIMIT, GIGABYTES_LIMIT, AP_BAR = 300, 3.0, 0.30
"""On two cores: the time and the memory to stay under, and the winner's AP to reach."""


def main() -> None:
    """Measure, and print a table or a JSON document."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (cpu)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="random seed (0)")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        result = run(["--work-dir", folder, "--device", options.device, "--seed", str(options.seed), "--json"])
        seconds = time.perf_counter() - started
    # Linux counts in kilobytes, and of all children keeps the largest.
    gigabytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e9
    measured = {"wall_seconds": seconds, "peak_gigabytes": gigabytes}
    networks = result["stages"]["compare"]["networks"]
    if options.json:
        print(json.dumps({"version": 1, **measured, "networks": networks, "seconds": result["seconds"]}))
        return
    for row in networks:
        print(f"{row['name']:7} AP {row['mean']:.3f}  {row['macs'] / 1e6:.1f} M MACs")
    print(f"seconds {seconds:.0f} (at most {SECONDS_LIMIT}), of which {result['seconds']}")
    print(f"peak memory {gigabytes:.2f} GB (at most {GIGABYTES_LIMIT}); the winner's AP should be at least {AP_BAR}")


def run(arguments: list[str]) -> dict[str, Any]:
    """The document that the quickstart prints; a failure ends the benchmark with its message."""
    command = [sys.executable, "-m", "opanas_cli", "quickstart", *arguments]
    process = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if process.returncode:
        sys.exit(f"quickstart failed with exit code {process.returncode}")
    document: dict[str, Any] = json.loads(process.stdout)
    return document


if __name__ == "__main__":
    main()
