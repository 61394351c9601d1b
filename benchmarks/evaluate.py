"""Times the evaluation of a population in a super-net in three ways, and tells where the time goes.

    peer    mmdet's test loop for each candidate, with torchvision's deformable convolution, which is mmcv's too, and
            mmdet's COCO metric on pycocotools
    plain   mmdet's test loop for each candidate, with our operators and metric
    ours    one pass over the images for the whole population, as evolve does

All three evaluate the same candidates of the same super-net on the same images, in the same batches, and read them in
this process. On a CPU the APs of plain and ours must agree to 1e-6; on a GPU, whose kernels add in another order for
another batch, the difference is printed. Populations: random ones, and the sixth generation of an evolution. The parts
of ours are timed in a run of their own, without the threads that heads otherwise run in, so that they add up.

    python benchmarks/evaluate.py --num-nodes 5
    python benchmarks/evaluate.py --config custom --num-nodes 5 --image-size 800 500 --untrained --generation 0 \
        --device cuda --precision tf32
"""

from __future__ import annotations

import argparse
import copy
import json
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any
from unittest import mock

import numpy as np
import torch
import torchvision
from generated_images import drawn_weights, stretch
from measuring import PRECISIONS, computing_in, multiply_adds, peak_memory, seconds_of
from mmengine.config import Config
from mmengine.runner import Runner
from torch import Tensor

import opanas_cli.detection.evaluating.evaluator as evaluation
import opanas_cli.detection.evaluating.population_pass as population_pass
from opanas_cli.detection.configs.files import load_config
from opanas_cli.detection.configs.necks import search_space
from opanas_cli.detection.configs.sections import section_of
from opanas_cli.detection.configs.stages import search_dataset
from opanas_cli.detection.costs.profiling import CostModel
from opanas_cli.detection.data.shapes import generate_shapes
from opanas_cli.detection.evaluating.evaluator import SuperNetEvaluator
from opanas_cli.detection.processes.devices import select_device, use_device
from opanas_cli.detection.quiet import silenced
from opanas_cli.detection.super_net_file import read_super_net
from opanas_cli.detection.training.supernet_training import train_super_net
from opanas_cli.genotype import Genotype
from opanas_cli.genotype.liveness import live_edges
from opanas_cli.necks import deformable
from opanas_cli.necks.sharing import Sharing
from opanas_cli.necks.super_net import OPASuperNet
from opanas_cli.search import Constraints, Evolution, History, StrategySettings, run_search
from opanas_cli.search.strategies.admission import Admission
from opanas_cli.search.strategies.random_search import random_proposals

AGREEMENT = 1e-6
"""Between the APs of plain and ours on a CPU; mmdet's own metric, the peer's, rounds to three digits."""

NUM_WORKERS = 0
"""Of all three: images are read in this process."""

PROJECTED_CANDIDATES, PROJECTED_IMAGES = 600, 5000
"""The paper's search, on COCO's validation images."""


class Loop:
    """mmdet's test loop on one super-net, candidate by candidate."""

    def __init__(
        self,
        config: Config,
        state: Any,
        device: torch.device,
        batch_size: int,
        metric: Mapping[str, Any],
        folder: Path,
    ) -> None:
        stage = copy.deepcopy(config)
        for name in (
            "supernet",
            "search",
            "retrain",
            "train_dataloader",
            "val_dataloader",
            "val_evaluator",
            "test_evaluator",
        ):
            stage.pop(name, None)
        # Visualizers are found by their names: that of a run to come would be this one.
        stage.pop("visualizer", None)
        stage.test_dataloader = dict(
            batch_size=batch_size,
            num_workers=NUM_WORKERS,
            sampler=dict(type="DefaultSampler", shuffle=False),
            dataset=search_dataset(config, 0.0, None),
        )
        stage.update(test_evaluator=metric, test_cfg=dict(type="TestLoop"), work_dir=str(folder), log_level="ERROR")
        stage.experiment_name = f"{folder.name}-{metric['type']}"
        use_device(device)
        with silenced():
            self.runner = Runner.from_cfg(stage)
            self.runner.model.load_state_dict(state)
            self.loop = self.runner.test_loop
            self.runner.call_hook("before_run")

    def evaluate(self, genotypes: Sequence[Genotype]) -> list[float]:
        """The AP of each genotype."""
        with silenced():
            return [self._ap(genotype) for genotype in genotypes]

    def _ap(self, genotype: Genotype) -> float:
        with self.runner.model.neck.running(genotype):
            metrics = self.loop.run()
        return float(metrics.get("AP", metrics.get("coco/bbox_mAP")))


def librarys_deformable_convolution() -> Any:
    """While entered, necks use torchvision's deformable convolution."""
    return mock.patch.object(deformable, "deform_conv2d", torchvision.ops.deform_conv2d)


def populations(
    evaluator: SuperNetEvaluator, config: Config, size: int, generation: int, seed: int
) -> dict[str, list[Genotype]]:
    """Random genotypes, and those of a later generation of an evolution that begins with them."""
    space, cost_of = search_space(config), CostModel(config)
    rng = np.random.default_rng(seed)
    drawn = random_proposals(space, size, 0, Admission(cost_of, Constraints()), rng)
    chosen = {"random": [proposal.genotype for proposal in drawn]}
    if not generation:
        return chosen
    strategy = Evolution(space, StrategySettings(size, generation, max(size // 5, 1)), seed)
    found = run_search(strategy, evaluator, cost_of, Constraints(), History(), batch_size=size)
    evolved = [one.genotype for one in found.evaluated if one.proposal.generation == generation]
    if not evolved:
        raise SystemExit("the space has too few genotypes to evolve: take more --num-nodes or fewer --candidates")
    return {**chosen, f"generation_{generation}": evolved}


def without_head_threads() -> Any:
    """While entered, heads run in the thread of all else."""
    return mock.patch.object(evaluation, "head_threads", lambda _: nullcontext())


def parts(evaluator: SuperNetEvaluator, genotypes: Sequence[Genotype], device: torch.device) -> dict[str, float]:
    """The seconds of each part of ours, heads beside nothing else; `heads_apart` is that of one candidate at a time."""
    spent: dict[str, float] = defaultdict(float)

    def timed(name: str, call: Callable[..., Any], device: torch.device = device) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            seconds, result = seconds_of(lambda: call(*arguments, **options), device)
            spent[name] += seconds
            return result

        return run

    def timed_necks(*arguments: Any) -> Iterator[Any]:
        necks = run_population(*arguments)
        while (item := timed("neck", lambda: next(necks, None))()) is not None:
            yield item

    run_population = population_pass.run_population
    detector, heads = evaluator.detector, population_pass.PopulationPass
    with ExitStack() as stack:
        replace = lambda owner, name, value: stack.enter_context(mock.patch.object(owner, name, value))  # noqa: E731
        kind = type(evaluator.dataset)
        replace(kind, "__getitem__", timed("decode", kind.__getitem__, torch.device("cpu")))
        replace(detector.data_preprocessor, "forward", timed("backbone", detector.data_preprocessor.forward))
        replace(detector.backbone, "forward", timed("backbone", detector.backbone.forward))
        replace(detector.neck, "project", timed("backbone", detector.neck.project))
        replace(population_pass, "run_population", timed_necks)
        replace(heads, "_predict", timed("heads", heads._predict))
        replace(evaluation, "GroundTruth", timed("scoring", evaluation.GroundTruth))
        replace(evaluation, "score_population", timed("scoring", evaluation.score_population))
        stack.enter_context(without_head_threads())
        total, _ = seconds_of(lambda: evaluator.evaluate(genotypes), device)
        measured = dict(spent)
        replace(population_pass, "IMAGES_AT_ONCE", dict.fromkeys(population_pass.IMAGES_AT_ONCE, 1))
        spent.clear()
        evaluator.evaluate(genotypes)
    return {**measured, "other": total - sum(measured.values()), "total": total, "heads_apart": spent["heads"]}


def counted_multiply_adds(evaluator: SuperNetEvaluator, genotypes: Sequence[Genotype]) -> int:
    """The multiply-adds of one pass over the images."""
    with without_head_threads():
        return multiply_adds(lambda: evaluator.evaluate(genotypes))


@contextmanager
def counted_path_calls(super_net: OPASuperNet) -> Iterator[Counter[str]]:
    """How often paths run while the block does, as `image_calls`: a call for a batch counts once for each image."""
    counts: Counter[str] = Counter()
    run_edge = super_net.run_edge

    def counting(pyramid: Sequence[Tensor], edge: str, path: str) -> Any:
        counts["image_calls"] += len(pyramid[0])
        return run_edge(pyramid, edge, path)

    with mock.patch.object(super_net, "run_edge", counting):
        yield counts


def measure(
    evaluator: SuperNetEvaluator,
    loops: Mapping[str, Loop],
    genotypes: Sequence[Genotype],
    device: torch.device,
    repeats: int,
) -> dict[str, Any]:
    """One row: the seconds of each way (the fastest of its runs, which take turns), and the parts of ours.

    Of the path calls of all sub-nets, `path_calls_saved` is the share that did not run, and `path_calls_equal` the
    share that need not run with memory for everything.
    """
    ways = {**{name: loop.evaluate for name, loop in loops.items()}, "ours": evaluator.evaluate}
    seconds: dict[str, list[float]] = defaultdict(list)
    peaks, results = {}, {}

    def run(name: str, genotypes: Sequence[Genotype]) -> float:
        with librarys_deformable_convolution() if name == "peer" else nullcontext():
            spent, results[name] = seconds_of(lambda: ways[name](genotypes), device)
        return spent

    for name in loops:
        with peak_memory(device) as peaks[name]:
            run(name, genotypes[:1])
    run("ours", genotypes[:2])
    with peak_memory(device) as peaks["ours"], counted_path_calls(evaluator.detector.neck) as ran:
        run("ours", genotypes)
    for _ in range(repeats):
        for name in ways:
            seconds[name].append(run(name, genotypes))
    plain, ours = results["plain"], results["ours"]
    difference = max(abs(one.metrics["AP"] - other) for one, other in zip(ours, plain, strict=True))
    if device.type == "cpu" and difference > AGREEMENT:
        raise SystemExit(f"the APs of plain and ours differ by up to {difference:.2e}")
    fastest = {name: min(values) for name, values in seconds.items()}
    sharing, apart = Sharing.of(genotypes), sum(len(live_edges(genotype)) for genotype in genotypes)
    per_pair = fastest["ours"] / len(genotypes) / evaluator.num_images
    return {
        "candidates": len(genotypes),
        "images": evaluator.num_images,
        "mean_ap": float(np.mean(plain)),
        **{f"{name}_candidates_per_second": len(genotypes) / value for name, value in fastest.items()},
        **{f"speedup_vs_{name}": fastest[name] / fastest["ours"] for name in loops},
        "median_seconds": {name: median(values) for name, values in seconds.items()},
        "largest_ap_difference": difference,
        "path_calls_saved": 1 - ran["image_calls"] / (apart * evaluator.num_images),
        "path_calls_equal": 1 - len(sharing.calls) / apart,
        "peak_mb": peaks["ours"]["mb"],
        "peak_memory_mb": {name: peak["mb"] for name, peak in peaks.items()},
        "multiply_adds": counted_multiply_adds(evaluator, genotypes),
        "projected_hours": per_pair * PROJECTED_CANDIDATES * PROJECTED_IMAGES / 3600,
        "parts_seconds": parts(evaluator, genotypes, device),
    }


def state_of(config: Config, options: argparse.Namespace, folder: Path, device: torch.device) -> Any:
    """The weights of the super-net: given, or trained on the generated images, or drawn."""
    if options.untrained:
        return drawn_weights(config)
    path = options.supernet or train_super_net(config, folder / "super-net", 0, device).path
    return read_super_net(path)["state_dict"]


Prepared = tuple[SuperNetEvaluator, dict[str, Loop], dict[str, list[Genotype]]]


def prepare(options: argparse.Namespace, folder: Path, device: torch.device) -> Prepared:
    """The evaluator of a super-net, the loops to compare it with, and populations."""
    data = folder / "data"
    # Where nothing is trained, some images name the classes.
    num_train = 20 if options.untrained or options.supernet else 400
    generate_shapes(data, num_train, options.images)
    overrides = [f"data_root={data}", f"model.neck.num_nodes={options.num_nodes}"]
    if options.image_size:
        stretch(data, tuple(options.image_size))
        overrides.append(f"supernet.image_scale=({options.image_size[0]},{options.image_size[1]})")
    if options.config != "shapes":
        overrides += ["model.backbone.init_cfg=None", "classes=disk,square,triangle"]
    config = load_config(options.config, tuple(overrides))
    state = state_of(config, options, folder, device)
    section = section_of(config, "search")
    batch_size = options.batch_size or section.batch_size
    section = replace(section, batch_size=batch_size, metric="AP", max_images=None, halving=False)
    evaluator = SuperNetEvaluator(config, state, "the super-net", 0.0, device, section)
    evaluator.num_workers = NUM_WORKERS
    metric = dict(type="CocoMetric", metric="bbox", ann_file=str(data / "annotations" / "val.json"))
    metrics = {"peer": metric, "plain": dict(type="DetectionAP")}
    if options.no_peer:
        del metrics["peer"]
    loops = {name: Loop(config, state, device, batch_size, way, folder / name) for name, way in metrics.items()}
    return evaluator, loops, populations(evaluator, config, options.candidates, options.generation, seed=0)


def run(options: argparse.Namespace, folder: Path, device: torch.device) -> dict[str, Any]:
    """All rows."""
    with computing_in(options.precision):
        evaluator, loops, chosen = prepare(options, folder, device)
        rows = {name: measure(evaluator, loops, found, device, options.repeats) for name, found in chosen.items()}
    facts = {"device": str(device), "threads": torch.get_num_threads(), "torch": torch.__version__}
    speedups = [f"speedup_vs_{name}" for name in loops]
    smallest = {name: min(row[name] for row in rows.values()) for name in speedups}
    setting = {
        "config": options.config,
        "num_nodes": options.num_nodes,
        "precision": options.precision,
        "batch_size": evaluator.section.batch_size,
        "num_workers": NUM_WORKERS,
    }
    return {"version": 1, **facts, **setting, **smallest, "populations": rows}


def show(document: Mapping[str, Any]) -> None:
    """The document as a table."""
    print(
        f"config {document['config']}, {document['num_nodes']} nodes, batches of {document['batch_size']}, "
        f"{document['num_workers']} workers, {document['device']}, {document['precision']}, torch {document['torch']}"
    )
    for name, row in document["populations"].items():
        print(f"{name}: {row['candidates']} candidates, {row['images']} images, mean AP {row['mean_ap']:.3f}")
        for way in row["median_seconds"]:
            faster = "" if way == "ours" else f"   ours is {row[f'speedup_vs_{way}']:.2f} times faster"
            print(f"  {way:<6} {row[f'{way}_candidates_per_second']:7.2f} candidates/s{faster}")
        spent = row["parts_seconds"]
        shares = ", ".join(f"{part} {spent[part]:.2f}" for part in spent if part not in ("total", "heads_apart"))
        seconds = row["candidates"] / row["ours_candidates_per_second"]
        print(f"  parts (s) without threads: {shares}, total {spent['total']:.2f}; with threads {seconds:.2f}")
        print(f"  heads one candidate at a time: {spent['heads_apart']:.2f} s")
        print(
            f"  path calls saved {row['path_calls_saved']:.1%} of {row['path_calls_equal']:.1%} that are equal, "
            f"peak memory {row['peak_mb']:.0f} MB, APs of plain and ours within {row['largest_ap_difference']:.1e}"
        )
        print(
            f"  {PROJECTED_CANDIDATES} candidates on {PROJECTED_IMAGES} such images: {row['projected_hours']:.2f} hours"
        )


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options, of the command line by default."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    configs = ("shapes", "custom", "custom-small")
    parser.add_argument("--config", choices=configs, default="shapes", help="whose super-net (default: shapes)")
    parser.add_argument("--num-nodes", type=int, default=3, help="of the super-net (default: 3, that of shapes)")
    parser.add_argument("--image-size", type=int, nargs=2, metavar=("WIDTH", "HEIGHT"), help="default: 128 128")
    parser.add_argument("--supernet", type=Path, help="weights that fit (default: train on the generated images)")
    parser.add_argument("--untrained", action="store_true", help="take weights as they are drawn")
    parser.add_argument("--images", type=int, default=64, help="to evaluate on (default: 64)")
    parser.add_argument("--batch-size", type=int, help="images at a time, of all three (default: the search's)")
    parser.add_argument("--candidates", type=int, default=50, help="of a population (default: 50)")
    parser.add_argument(
        "--generation", type=int, default=6, help="of the evolved population; 0 leaves it out (default: 6)"
    )
    parser.add_argument("--no-peer", action="store_true", help="leave the peer out")
    parser.add_argument("--precision", choices=PRECISIONS[:2], default="float32", help="(default: float32)")
    parser.add_argument("--repeats", type=int, default=2, help="timed runs of each way (default: 2)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:i (default: cpu)")
    parser.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
    options = parser.parse_args(arguments)
    counts = (options.images, options.repeats, options.num_nodes, options.batch_size)
    if any(count is not None and count < 1 for count in counts) or options.candidates < 2:
        parser.error("--images, --repeats, --num-nodes, --batch-size must be at least 1, and --candidates at least 2")
    return options


def main() -> None:
    """Measure, and print a table or a JSON document."""
    options = parsed()
    with tempfile.TemporaryDirectory() as folder:
        document = run(options, Path(folder), select_device(options.device))
    if options.json:
        print(json.dumps(document, indent=2))
    else:
        show(document)


if __name__ == "__main__":
    main()
