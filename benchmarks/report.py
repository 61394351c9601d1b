"""How long `opanas report` takes as a process, and how large its page is, for a search of many candidates.

    python benchmarks/report.py [--json] [--candidates 600] [--nodes 5] [--repeat 5] [--keep FOLDER]

The work dir is made up: a search by evolution with fitness computed from the genotype, and the log of a training. Times
are the best and the median of some runs in seconds, start-up included.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from pathlib import Path
from typing import Any

from start_up import measure

from opanas_cli.genotype import Genotype, SearchSpace
from opanas_cli.genotype.liveness import live_edges
from opanas_cli.search import Constraints, Cost, Evolution, History, SearchSettings, StrategySettings, run_search
from opanas_cli.search.evaluator import Evaluation

SECONDS_LIMIT, BYTES_LIMIT = 3.0, 3e6
POPULATION = 50
LOG_ROWS = 2000


def main() -> None:
    """Make a work dir, measure, and print a table or a JSON document."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--device", default="cpu", help="taken as everywhere; nothing here computes on a GPU")
    parser.add_argument("--candidates", type=int, default=600, metavar="N", help="candidates of the search (600)")
    parser.add_argument("--nodes", type=int, default=5, metavar="N", help="nodes of the space (5)")
    parser.add_argument("--repeat", type=int, default=5, metavar="N", help="runs (5)")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="make the work dir here, and leave it")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        num_candidates = make_work_dir(folder, options.candidates, options.nodes)
        row = measure(["report", str(folder)], SECONDS_LIMIT, options.repeat)
        size = (folder / "report.html").stat().st_size
    document = {"version": 1, "candidates": num_candidates, "nodes": options.nodes, **row,
                "bytes": size, "limit_bytes": int(BYTES_LIMIT)}  # fmt: skip
    if options.json:
        print(json.dumps(document, indent=2))
        return
    print(f"{'candidates':>10} {'best s':>8} {'median s':>9} {'limit s':>8} {'MB':>6} {'limit MB':>9}")
    print(f"{num_candidates:10} {row['best_seconds']:8.3f} {row['median_seconds']:9.3f} {SECONDS_LIMIT:8.1f} "
          f"{size / 1e6:6.3f} {BYTES_LIMIT / 1e6:9.1f}")  # fmt: skip


def make_work_dir(folder: Path, num_candidates: int, num_nodes: int) -> int:
    """The history of a search, and the log of a super-net's training, in a folder; the number of candidates."""
    space = SearchSpace.of(num_nodes)
    population = min(POPULATION, num_candidates // 2)
    budget = StrategySettings(population, num_candidates // population - 1, top_k=min(10, population))
    limits = Constraints(max_macs=205_000_000_000)
    run = folder / "train-supernet" / "20260101_000000"
    (run / "vis_data").mkdir(parents=True)
    (run / "vis_data" / "scalars.json").write_text("".join(map(_row, range(1, LOG_ROWS + 1))))
    last = {f"edge_importance/{edge.source}_{edge.target}": 1 / (1 + edge.target) for edge in space.edges}
    with (run / "vis_data" / "scalars.json").open("a") as file:
        file.write(json.dumps({**last, "sub_nets/mean_AP": 0.2, "step": LOG_ROWS * 10}) + "\n")
    history = History.create(folder / "history.jsonl", SearchSettings(space, budget=budget, constraints=limits))
    result = run_search(Evolution(space, budget, 0), Made(), cost_of, limits, history, batch_size=population)
    return len(result.evaluated)


def _row(number: int) -> str:
    loss = 0.5 + 2 * math.exp(-number / 400)
    return json.dumps({"loss": loss, "lr": 0.01, "epoch": number // 200 + 1, "step": number * 10}) + "\n"


class Made:
    """An evaluator of fitness made up from the genotype: more information paths are better, up to a point."""

    def evaluate(self, genotypes: Any) -> list[Evaluation]:
        """One figure for each genotype."""
        return [Evaluation({"AP": fitness_of(genotype)}) for genotype in genotypes]


def fitness_of(genotype: Genotype) -> float:
    """A figure between 0.2 and 0.45."""
    codes = [sum(map(ord, path)) for path in genotype.paths]
    weighted = sum(math.sin(code * (place + 1)) for place, code in enumerate(codes)) / len(codes)
    return 0.35 + 0.1 * weighted


def cost_of(genotype: Genotype) -> Cost:
    """More the more of its edges are live."""
    weights = [len(path) for _, path in live_edges(genotype)]
    return Cost(190_000_000_000 + 70_000_000 * sum(weights), 30_000_000 + 11_000 * sum(weights))


if __name__ == "__main__":
    main()
