"""``opanas quickstart``: every step on generated images."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from opanas_cli.commands.console import Console, SearchProgress
from opanas_cli.commands.options import RunOptions, run_options
from opanas_cli.commands.several_processes import OneProcessCommand
from opanas_cli.commands.work_dir_lock import work_dir_lock

if TYPE_CHECKING:
    from opanas_cli.formats import GenotypeRecord

CONFIG = "shapes"


@click.command(cls=OneProcessCommand)
@run_options("runs/quickstart", resume=False)
def quickstart(run: RunOptions, console: Console) -> None:
    """Run every step on generated images. Takes minutes on two CPU cores; downloads nothing.

    Generates a data set of shapes, trains a small super-net, evolves it, draws and exports the winner, and trains the
    winner and an FPN of the same MACs with the same schedule. Reads nothing; writes everything into the work dir. What
    an earlier run left there is replaced.

    \b
    Example:
      opanas quickstart --work-dir runs/quickstart
    """
    folder = run.folder("quickstart")
    console.say("loading torch and mmdet …")
    steps = _Quickstart(console, folder, run)
    with work_dir_lock(folder):
        steps.generate()
        steps.train_super_net()
        record = steps.evolve()
        steps.draw(record)
        steps.export(record)
        steps.retrain(record)
    steps.show(record)


class _Quickstart:
    """The steps, in order; each leaves its files, and what it measured, to those that follow."""

    def __init__(self, console: Console, folder: Path, run: RunOptions) -> None:
        from opanas_cli.detection.processes.devices import select_device

        self.console = console
        self.folder = folder
        self.seed = run.seed
        self.device = select_device(run.device)
        self.overrides = (*run.cfg_options, f"data_root={folder / 'data'}")
        self.files: dict[str, Path] = {}
        self.seconds: dict[str, float] = {}
        self.trained: dict[str, Any] = {}

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Measure a step."""
        started = time.monotonic()
        yield
        self.seconds[step] = round(time.monotonic() - started, 1)

    def generate(self) -> None:
        """The data set, and the config that reads it."""
        from opanas_cli.detection.configs.files import load_config
        from opanas_cli.detection.data.shapes import generate_shapes

        with self.timed("data"):
            self.console.say("generating images of shapes")
            generate_shapes(self.folder / "data", seed=self.seed)
            self.config = load_config(CONFIG, self.overrides)
        self.files["data"] = self.folder / "data"

    def train_super_net(self) -> None:
        """The super-net."""
        from opanas_cli.detection.training.run_checkpoints import forget_run
        from opanas_cli.detection.training.supernet_training import train_super_net

        forget_run(self.folder / "train-supernet")
        with self.timed("train-supernet"), self.console.training("super-net") as on_step:
            trained = train_super_net(self.config, self.folder, self.seed, self.device, on_step=on_step)
        self.files["super-net"] = trained.path

    def evolve(self) -> GenotypeRecord:
        """The search, and its winner."""
        from opanas_cli.detection.searching import SearchFiles, search_super_net
        from opanas_cli.formats import read_record
        from opanas_cli.search import Constraints

        files = SearchFiles.of(self.folder)
        files.history.unlink(missing_ok=True)
        with self.timed("evolve"), self.console.progress("search") as report:
            shown = SearchProgress(report)
            search_super_net(
                self.config,
                self.files["super-net"],
                self.folder,
                self.seed,
                self.device,
                overrides={},
                constraints=Constraints(),
                progress=shown.candidate,
                on_images=shown.images,
            )
        self.files.update(genotype=files.best, population=files.population, history=files.history)
        return read_record(files.best)

    def draw(self, record: GenotypeRecord) -> None:
        """The winner as a picture."""
        from opanas_cli.drawing import draw

        with self.timed("draw"):
            self.files["drawing"] = draw([record.genotype], self.folder / "winner.svg", ["winner"])

    def export(self, record: GenotypeRecord) -> None:
        """The winner as a config that `opanas retrain` and mmdet's tools run."""
        from opanas_cli.atomic import write_atomically
        from opanas_cli.detection.exporting.detector_config import export_config, exported_text

        with self.timed("export"):
            path = self.folder / "winner.py"
            config = export_config(record.genotype, CONFIG, overrides=self.overrides)
            write_atomically(path, exported_text(config))
        self.files["config"] = path

    def retrain(self, record: GenotypeRecord) -> None:
        """The winner, from its exported config, and the FPN of the same MACs."""
        from opanas_cli.detection.configs.files import load_config
        from opanas_cli.detection.training.networks import baseline_config, whole_config
        from opanas_cli.detection.training.retraining import train_detector
        from opanas_cli.detection.training.run_checkpoints import forget_run

        configs = {
            "winner": whole_config(load_config(str(self.files["config"]))),
            "fpn": baseline_config(self.config, record.genotype),
        }
        for name, config in configs.items():
            forget_run(self.folder / name / "retrain")
            with self.timed(f"retrain {name}"), self.console.training(f"retrain {name}") as on_step:
                trained = train_detector(config, self.folder / name, self.seed, self.device, on_step=on_step)
            self.trained[name] = trained
            self.files[f"{name} detector"] = trained.path

    def show(self, record: GenotypeRecord) -> None:
        """The table, and all files."""
        from opanas_cli.formats.text import line_of

        genotypes = {"winner": line_of(record.genotype), "fpn": None}
        document: dict[str, Any] = {
            name: {
                "ap": trained.metrics["AP"],
                "ap50": trained.metrics["AP50"],
                "macs": trained.cost.macs,
                "params": trained.cost.params,
                "genotype": genotypes[name],
            }
            for name, trained in self.trained.items()
        }
        self.seconds["total"] = round(sum(self.seconds.values()), 1)
        rows = [f"{'':8}{'AP':>8}{'AP50':>8}{'MACs':>10}{'params':>10}"]
        for name, row in document.items():
            rows.append(
                f"{name:8}{row['ap']:8.3f}{row['ap50']:8.3f}{row['macs'] / 1e6:8.1f} M{row['params'] / 1e6:8.2f} M"
            )
        rows.append(f"winner: {genotypes['winner']}")
        rows.append("seconds: " + ", ".join(f"{stage} {value:.0f}" for stage, value in self.seconds.items()))
        self.console.result("\n".join(rows), {**document, "seconds": self.seconds}, self.files)
