"""Training a super-net and saving it (section 3.2.1)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import is_main_process

from opanas_cli import __version__
from opanas_cli.detection.checkpoints import write_checkpoint
from opanas_cli.detection.configs.sections import section_of
from opanas_cli.detection.configs.stages import super_net_stage
from opanas_cli.detection.costs.profiling import CostModel
from opanas_cli.detection.processes.group import from_first
from opanas_cli.detection.processes.replicas import SuperNetReplica, original, replicate
from opanas_cli.detection.spent import Spent, of_all_processes
from opanas_cli.detection.super_net_file import SUPER_NET_FORMAT, VERSION, read_super_net, task_of
from opanas_cli.detection.training.mixture_detector import MixtureDetector  # noqa: F401  (registers both detectors)
from opanas_cli.detection.training.progress import OnStep, ProgressHook
from opanas_cli.detection.training.run_identity import finished, result_identity
from opanas_cli.detection.training.runner import build_runner
from opanas_cli.detection.training.watching import WatchHook, watched_visualizer
from opanas_cli.formats import GenotypeRecord, write_record
from opanas_cli.genotype import Genotype, SearchSpace
from opanas_cli.search.strongest import strongest_genotype
from opanas_cli.stage_settings import MIXED


@dataclass(frozen=True)
class TrainedSuperNet:
    """A trained super-net: its file, and the mean loss over the first and over the last steps of its training.

    The losses are over up to ten steps. `found` means that it was trained before and nothing was left to do. `watched`
    is the mean AP of random sub-nets over the training, if `supernet.watch_interval` asks for it. `genotype` is that of
    the file `best`, if it was trained as a mixture; `alive` is whether the strongest paths alone had an output.
    """

    path: Path
    steps: int
    loss_at_start: float
    loss_at_end: float
    edge_importance: list[float]
    found: bool = False
    watched: list[dict[str, float]] = field(default_factory=list)
    spent: Spent = field(default_factory=Spent)
    genotype: Genotype | None = None
    alive: bool = True

    @property
    def best(self) -> Path:
        """The file of the genotype."""
        return self.path.with_name("best.json")

    @classmethod
    def of(cls, content: dict[str, Any], path: Path, found: bool = False) -> TrainedSuperNet:
        """The super-net of a file and its content."""
        meta, importance = content["meta"], content["state_dict"].get("neck.edge_importance")
        importances = [] if importance is None else importance.tolist()
        genotype, alive = None, True
        if (architecture := meta.get("architecture")) is not None:
            genotype, alive = strongest_genotype(SearchSpace.of_document(meta["space"]), architecture)
        spent, watched = Spent.of(meta.get("spent", {})), meta.get("watched", [])
        return cls(path, meta["steps"], *meta["losses"], importances, found, watched, spent, genotype, alive)


def train_super_net(
    config: Config,
    work_dir: Path,
    seed: int,
    device: torch.device,
    resume: bool = False,
    on_step: OnStep | None = None,
) -> TrainedSuperNet:
    """Train the super-net of `config` and write ``supernet.pth``, and ``best.json`` if it is trained as a mixture.

    Raises InvalidConfigError if the neck is not a super-net, or a setting is unknown; OpanasError if the loss is not
    finite.
    """
    path = work_dir / "supernet.pth"
    runnable = super_net_stage(config, seed)
    identity = result_identity(runnable, seed)
    if resume and (found := from_first(lambda: _finished_super_net(path, identity))):
        _write_genotype(found, config)
        return found
    CostModel(config)  # Refuses at once a config that a search could not count.
    hook, text = ProgressHook(on_step), config.pretty_text
    watch = WatchHook(config, seed, device)
    runnable.visualizer = watched_visualizer(config)
    replicate(runnable, SuperNetReplica)
    runner = build_runner(runnable, work_dir / "train-supernet", seed, device, resume, hook)
    runner.register_hook(watch)
    runner.train()
    model, section = original(runner.model), section_of(config, "supernet")
    content: dict[str, Any] = {
        "format": SUPER_NET_FORMAT,
        "version": VERSION,
        "state_dict": {name: value.cpu() for name, value in model.detector.state_dict().items()},
        "meta": {
            "opanas_version": __version__,
            "config": text,
            "settings": identity,
            "seed": seed,
            "steps": runner.iter,
            "losses": list(hook.mean_losses(runner.iter)),
            "watched": watch.watched,
            "search_split": float(section.search_split),
            "split_by": section.split_by,
            "method": section.method,
            "spent": of_all_processes(runner.spent.spent(len(watch.watched) * len(watch.genotypes))).document(),
            **({"architecture": model.architecture.tolist()} if section.method in MIXED else {}),
            **task_of(config),
        },
    }
    if is_main_process():
        write_checkpoint(content, path)
    trained = TrainedSuperNet.of(content, path)
    _write_genotype(trained, config)
    return trained


def _write_genotype(trained: TrainedSuperNet, config: Config) -> None:
    """Write ``best.json`` for a mixture, as a search would for its winner."""
    if trained.genotype is None or not is_main_process():
        return
    meta = read_super_net(trained.path)["meta"]
    provenance = {
        **{name: meta[name] for name in ("opanas_version", "method", "seed", "steps", "architecture")},
        "super_net": str(trained.path),
        "strongest_paths_are_alive": trained.alive,
    }
    cost = CostModel(config)(trained.genotype)
    metadata = {"cost": cost.document(), "spent": {"train-supernet": meta["spent"]}, "provenance": provenance}
    write_record(GenotypeRecord(trained.genotype, metadata), trained.best)


def _finished_super_net(path: Path, identity: str) -> TrainedSuperNet | None:
    """The super-net in a file, if a run of this identity ended with it."""
    content = finished(lambda: read_super_net(path), identity)
    try:
        return TrainedSuperNet.of(content, path, found=True) if content else None
    except (LookupError, TypeError, ValueError, AttributeError):  # It is damaged, and trained again.
        return None
