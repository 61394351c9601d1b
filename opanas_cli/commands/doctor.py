"""``opanas doctor``: what this machine has to run opanas with, and what is wrong with it."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import click

from opanas_cli import __version__
from opanas_cli.commands.common.console import Console, shown
from opanas_cli.commands.common.options import common_options
from opanas_cli.errors import InvalidDataError, MissingDependencyError, OpanasError

PACKAGES = {
    "torch": ("torch",),
    "torchvision": ("torchvision",),
    "mmdet": ("onedl-mmdetection", "mmdet"),
    "mmcv": ("onedl-mmcv", "mmcv", "mmcv-lite", "mmcv-full"),
    "mmengine": ("onedl-mmengine", "mmengine"),
    "pycocotools": ("pycocotools",),
}
"""What detectors need, and the distributions that have it."""

EXTRAS = {"fast": "faster-coco-eval", "nsga2": "pymoo", "watch": "tensorboard"}
"""A distribution of each extra that a search may do without."""

GIGABYTE = 1e9
LEAST_DISK = 5 * GIGABYTE
"""A super-net of the paper's size has checkpoints of 0.5 GB, of which two are kept, and the log."""
LEAST_SHARED = 0.5 * GIGABYTE
"""Batches come from the loaders' workers through shared memory; a container has 0.07 GB unless it is asked for more."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: `problem` says what is wrong and the way out, `exit_code` how the program ends."""

    name: str
    value: str
    problem: str | None = None
    exit_code: int = 0


@click.command()
@click.option(
    "--data", type=click.Path(path_type=Path), metavar="DIR", help="Check this data set too, as `opanas data` does."
)
@common_options
def doctor(data: Path | None, console: Console) -> int:
    """Say what this machine has to run opanas with, and what is wrong with it.

    Reads nothing but DIR and writes nothing. The exit code is 0 if all is well, else that of the worst problem: 4 if a
    package is missing, for which operators, GPUs and DIR are not looked at, 3 if the data set is broken, else 1.

    \b
    Example:
      opanas doctor --data /data/cells
    """
    findings = [*packages(), *machine()]
    if is_complete(findings):
        findings += operators()
    if data is not None and is_complete(findings):
        findings += data_set(data, console)
    width = max(len(finding.name) for finding in findings)
    lines = []
    for finding in findings:
        lines.append(f"{finding.name:{width}}  {finding.value}")
        if finding.problem:
            lines.append(f"{'':{width}}  problem: {finding.problem}")
    count = sum(finding.problem is not None for finding in findings)
    lines.append("no problem found" if not count else f"{count} problem{'s' if count > 1 else ''} found")
    console.result("\n".join(lines), {"findings": [asdict(finding) for finding in findings]}, {})
    return max(finding.exit_code for finding in findings)


def is_complete(findings: Sequence[Finding]) -> bool:
    """Whether no package is missing, without which nothing more can be looked at."""
    return all(finding.exit_code != MissingDependencyError.exit_code for finding in findings)


def packages() -> Iterator[Finding]:
    """The versions of what is installed."""
    yield Finding("opanas", __version__)
    yield Finding("Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    for name in PACKAGES:
        found = installed(name)
        missing = None if found else "is not installed; `pip install 'opanas[mmdet]'` installs it"
        yield Finding(name, found or "missing", missing, 0 if found else MissingDependencyError.exit_code)
    for extra, distribution in EXTRAS.items():
        found = _version(distribution)
        yield Finding(distribution, found or f"not installed (`pip install 'opanas[{extra}]'`)")


def installed(package: str) -> str | None:
    """The version of one of `PACKAGES`, whichever distribution has it; None without."""
    return next((found for found in map(_version, PACKAGES[package]) if found), None)


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def machine() -> Iterator[Finding]:
    """Processors, memory, disk."""
    usable = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    yield Finding("processors", str(len(usable)))
    if memory := _memory():
        yield Finding("memory", f"{memory / GIGABYTE:.1f} GB")
    here, shared = Path.cwd(), Path("/dev/shm")
    yield _room("free disk", here, shutil.disk_usage(here).free, LEAST_DISK, "free some, or choose another --work-dir")
    if shared.is_dir():
        way_out = (
            "start the container with --shm-size=8g, or load images in the process itself: --cfg-options "
            "train_dataloader.num_workers=0 val_dataloader.num_workers=0 test_dataloader.num_workers=0"
        )
        yield _room("shared memory", shared, shutil.disk_usage(shared).total, LEAST_SHARED, way_out)


def _room(name: str, folder: Path, size: float, least: float, way_out: str) -> Finding:
    problem = f"less than {least / GIGABYTE:g} GB; {way_out}" if size < least else None
    return Finding(name, f"{size / GIGABYTE:.1f} GB in {shown(str(folder))}", problem, int(size < least))


def _memory() -> int | None:
    """Bytes, as far as the system tells."""
    names = os.sysconf_names if hasattr(os, "sysconf_names") else {}
    if not {"SC_PAGE_SIZE", "SC_PHYS_PAGES"} <= set(names):
        return None
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def operators() -> Iterator[Finding]:
    """GPUs, and whose operators mmdet runs on. Imports torch and mmdet."""
    import torch

    yield Finding("CUDA", torch.version.cuda or "none: torch is built for CPUs")
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        yield Finding(f"cuda:{index}", f"{properties.name}, {properties.total_memory / GIGABYTE:.0f} GB")
    if torch.version.cuda and not torch.cuda.is_available():
        yield Finding("GPU", "none, or its driver does not fit; --device cpu is what there is")
    if torch.cuda.is_available() and torch.distributed.is_nccl_available():
        yield Finding("NCCL", ".".join(map(str, torch.cuda.nccl.version())))  # type: ignore[no-untyped-call]
    try:
        from opanas_cli.detection.operators import install

        stand_in = install()
    except (OpanasError, ImportError) as error:
        yield Finding("operators", "mmdet cannot be imported", str(error), MissingDependencyError.exit_code)
    else:
        yield Finding(
            "operators", "torchvision's, for mmcv's own are not compiled" if stand_in else "mmcv's own, compiled"
        )


def data_set(folder: Path, console: Console) -> Iterator[Finding]:
    """What each split of a data set holds; its first problem is the problem."""
    from opanas_cli.detection.configs.survey import survey

    try:
        found = survey(folder, (), console.say)
    except OpanasError as error:
        yield Finding("data set", shown(str(folder)), str(error), error.exit_code)
        return
    problems = [problem for own in found.splits.values() for problem in own.problems]
    for split, own in found.splits.items():
        objects = ", ".join(f"{name} {count:,}" for name, count in sorted(own.objects.items()))
        yield Finding(split, f"{own.num_images:,} images of {shown(str(own.source))}: {shown(objects)}")
    if problems:
        yield Finding("data set", shown(str(folder)), problems[0], InvalidDataError.exit_code)
    else:
        yield Finding("data set", f"{shown(str(folder))}: all images can be read")
