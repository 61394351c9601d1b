"""Every neck of a small space trained alone: the table against which a super-net and a search are measured.

python benchmarks/ground_truth.py [--seeds N] [--extremes N --extreme-seeds N] [--cfg-options KEY=VALUE ...]

All inequivalent genotypes of the dense space with two nodes take the place of the neck in one FPN detector, which is
trained first; its backbone stays as it is, and its heads are trained on with the new neck. A training that the results
have a row of is not run again, so the program may be stopped and started at any time, and several may run side by side
with one --work-dir.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from ground_truth_table import means_of, print_report, report_of
from hard_shapes import HARD_SHAPES
from mmengine.config import Config

from opanas_cli.atomic import write_atomically
from opanas_cli.detection.checkpoints import read_checkpoint, write_checkpoint
from opanas_cli.detection.configs.files import load_config
from opanas_cli.detection.configs.stages import retrain_stage
from opanas_cli.detection.costs.widths import with_baseline
from opanas_cli.detection.data.shapes import generate_shapes
from opanas_cli.detection.experiments.trainings import claimed
from opanas_cli.detection.training.networks import sub_net_config
from opanas_cli.detection.training.retraining import TrainedDetector, train_detector
from opanas_cli.formats.text import line_of, loads
from opanas_cli.genotype import Genotype, SearchSpace
from opanas_cli.genotype.architecture import Architecture
from opanas_cli.genotype.liveness import output_nodes, prune

HERE = Path(__file__).parent
CONFIG = HERE / "configs" / "hard_shapes.py"

Task = tuple[Genotype, int]
"""A genotype and the seed of its training."""


def main() -> None:
    """Train what is missing, and print what the table tells or a JSON document of it."""
    options = parsed_options()
    torch.set_num_threads(1)
    trained = 0
    if options.limit != 0:
        prepare(options)
        table = Table(options, recipe_of(options))
        while options.limit is None or trained < options.limit:
            missing = missing_tasks(options, table.rows())
            if not missing:
                break
            with claimed(missing, name_of, options.work_dir / "claims") as task:
                if key_of(task) not in known(table.rows()):
                    table.add(in_a_child(train, options, task))
                    trained += 1
                    print(f"{line_of(task[0])} seed {task[1]}: {len(table.rows())} rows", file=sys.stderr)
    report = report_of(json.loads(options.results.read_text())["rows"])
    if options.json:
        print(json.dumps({"version": 1, **report}))
    else:
        print_report(report)


def parsed_options() -> argparse.Namespace:
    """What the user asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    number = {"type": int, "metavar": "N"}
    parser.add_argument("--seeds", default=2, help="trainings of every genotype (2)", **number)
    parser.add_argument("--extremes", default=0, help="the best and the worst N are trained more often (0)", **number)
    parser.add_argument("--extreme-seeds", default=5, help="trainings of each of these (5)", **number)
    parser.add_argument("--sample", help="only N genotypes at random, always the same ones", **number)
    parser.add_argument("--limit", help="train so many at most in this process; 0 only prints", **number)
    parser.add_argument("--images", nargs=2, type=int, default=(400, 200), help="to train and to test on (400 200)")
    parser.add_argument("--data-seed", type=int, default=0, help="of the images and of the FPN detector (0)")
    parser.add_argument("--start-epochs", default=24, help="of the FPN detector (24)", **number)
    parser.add_argument("--cfg-options", nargs="*", default=[], metavar="KEY=VALUE", help="as of opanas retrain")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (cpu)")
    parser.add_argument("--work-dir", type=Path, default=Path("runs/ground-truth"), help="images, FPN and claims")
    parser.add_argument("--results", type=Path, default=HERE / "results" / "ground_truth.json")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser.parse_args()


def genotypes_of_the_space(num_nodes: int = 2) -> list[Genotype]:
    """One genotype for each network of the dense space, in an order drawn at random once and for all."""
    found: dict[Architecture, Genotype] = {}
    for genotype in SearchSpace(num_nodes):
        if output_nodes(genotype) and prune(genotype) == genotype:
            found.setdefault(Architecture(genotype), genotype)
    genotypes = list(found.values())
    return [genotypes[place] for place in np.random.default_rng(0).permutation(len(genotypes))]


def missing_tasks(options: argparse.Namespace, rows: Sequence[dict[str, Any]]) -> list[Task]:
    """What is still to be trained: all genotypes by every seed, then the best and the worst by more seeds."""
    genotypes = genotypes_of_the_space()[: options.sample]
    missing = without_rows([(genotype, seed) for seed in range(options.seeds) for genotype in genotypes], rows)
    if missing or not options.extremes:
        return missing
    names = {line_of(genotype) for genotype in genotypes}
    means = means_of([row for row in rows if row["seed"] < options.seeds and row["genotype"] in names])
    ranked = sorted(means, key=means.__getitem__)
    chosen = [loads(line, line).genotype for line in ranked[: options.extremes] + ranked[-options.extremes :]]
    more = range(options.seeds, options.extreme_seeds)
    return without_rows([(genotype, seed) for seed in more for genotype in dict.fromkeys(chosen)], rows)


def without_rows(tasks: Sequence[Task], rows: Sequence[dict[str, Any]]) -> list[Task]:
    """The tasks that are still to be done."""
    done = known(rows)
    return [task for task in tasks if key_of(task) not in done]


def key_of(task: Task) -> tuple[str, int]:
    """What tells a training from all others."""
    return line_of(task[0]), task[1]


def name_of(task: Task) -> str:
    """The same as the name of a file."""
    return f"{line_of(task[0]).replace('|', '-')}-{task[1]}"


def known(rows: Sequence[dict[str, Any]]) -> set[tuple[str, int]]:
    """The trainings that have a row."""
    return {(row["genotype"], row["seed"]) for row in rows}


class Table:
    """The file of results: a recipe, and a row for each training. Several processes may add to it."""

    def __init__(self, options: argparse.Namespace, recipe: dict[str, Any]) -> None:
        self.path = options.results
        self.lock = FileLock(options.work_dir / "results.lock")
        with self.lock:
            if not self.path.exists():
                self._write({"version": 1, "torch": torch.__version__, "recipe": recipe, "rows": []})
        if self._read()["recipe"] != recipe:
            sys.exit(f"{self.path}: was made by another recipe; choose other --results")

    def rows(self) -> list[dict[str, Any]]:
        """All rows so far."""
        return self._read()["rows"]

    def add(self, row: dict[str, Any]) -> None:
        """Add a row; the file is whole at any time."""
        with self.lock:
            document = self._read()
            document["rows"].append(row)
            self._write(document)

    def _read(self) -> dict[str, Any]:
        return json.loads(self.path.read_text())

    def _write(self, document: dict[str, Any]) -> None:
        head = [f"{json.dumps(name)}: {json.dumps(value)}," for name, value in document.items() if name != "rows"]
        rows = ",\n".join(json.dumps(row) for row in document["rows"])
        write_atomically(self.path, "\n".join(["{", *head, '"rows": [', rows, "]}", ""]))


def recipe_of(options: argparse.Namespace) -> dict[str, Any]:
    """What decides all results, but for the versions of libraries."""
    config = config_of(options)
    for part in started_parts(config):
        part.init_cfg.checkpoint = "start.pth"
    return {
        "images": list(options.images),
        "data_seed": options.data_seed,
        "start": read_checkpoint(options.work_dir / "start.pth")["meta"],
        "retrain": plain(config.retrain),
        "model": plain(config.model),
    }


def plain(settings: Any) -> Any:
    """Settings as JSON gives them back."""
    return json.loads(json.dumps(settings))


def config_of(options: argparse.Namespace) -> Config:
    """The config of the super-net of all genotypes, on the images and from the FPN detector of the work dir."""
    config = load_config(str(CONFIG), (*options.cfg_options, f"data_root={options.work_dir / 'data'}"))
    for part in started_parts(config):
        part.init_cfg.checkpoint = str(options.work_dir / "start.pth")
    return config


def started_parts(config: Config) -> list[Any]:
    """The settings of the parts that the FPN detector gives their first weights."""
    model = config.model
    return [model.backbone, model.rpn_head, model.roi_head.bbox_head]


def prepare(options: argparse.Namespace) -> None:
    """Generate the images and train the FPN detector, unless they are there."""
    options.work_dir.mkdir(parents=True, exist_ok=True)
    with FileLock(options.work_dir / "preparing.lock"):
        generate_shapes(options.work_dir / "data", *options.images, options.data_seed, HARD_SHAPES)
        path = options.work_dir / "start.pth"
        if not path.exists():
            print("training the FPN detector", file=sys.stderr)
            in_a_child(train_start, options, path)
        made = read_checkpoint(path)["meta"]
        if (made["epochs"], made["seed"]) != (options.start_epochs, options.data_seed):
            sys.exit(f"{path}: is another detector, of {made}; choose another --work-dir")


def train_start(options: argparse.Namespace, path: Path) -> None:
    """Train an FPN detector from scratch."""
    epochs, config = options.start_epochs, config_of(options)
    for part in started_parts(config):
        part.pop("init_cfg")
    config.model.backbone.update(frozen_stages=-1, norm_eval=False)
    config.retrain.update(epochs=epochs, milestones=(epochs * 3 // 4,), batch_size=8)
    stage = retrain_stage(with_baseline(config, "fpn", config.model.neck.out_channels))
    trained = trained_anew(stage, options.work_dir / "start", options.data_seed, options.device)
    meta = {"epochs": epochs, "seed": options.data_seed, "AP": round(trained.metrics["AP"], 6)}
    write_checkpoint({"state_dict": read_checkpoint(trained.path)["state_dict"], "meta": meta}, path)
    shutil.rmtree(trained.path.parent)


def train(options: argparse.Namespace, task: Task) -> dict[str, Any]:
    """The row of one training, whose files are removed."""
    genotype, seed = task
    folder = options.work_dir / "trainings" / name_of(task)
    started, used = time.perf_counter(), time.process_time()
    trained = trained_anew(sub_net_config(config_of(options), genotype), folder, seed, options.device)
    shutil.rmtree(folder)
    return {
        "genotype": line_of(genotype),
        "seed": seed,
        **{name: round(trained.metrics[name], 6) for name in ("AP", "AP50")},
        "macs": trained.cost.macs,
        "params": trained.cost.params,
        "seconds": round(time.perf_counter() - started, 1),
        "cpu_seconds": round(time.process_time() - used, 1),
    }


def trained_anew(stage: Config, folder: Path, seed: int, device: str) -> TrainedDetector:
    """Train in a folder, without what a stopped training left there."""
    shutil.rmtree(folder, ignore_errors=True)
    return train_detector(stage, folder, seed, torch.device(device))


def in_a_child(call: Callable[..., Any], *arguments: Any) -> Any:
    """What a call returns in a process of its own, which has all modules already and leaves nothing behind."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=lambda: sender.send(call(*arguments)), daemon=True)
    process.start()
    sender.close()
    try:
        return receiver.recv()
    except EOFError:
        sys.exit("a training failed")
    finally:
        process.join()


if __name__ == "__main__":
    main()
