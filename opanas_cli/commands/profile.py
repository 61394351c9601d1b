"""``opanas profile``: what detectors cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import quantiles
from typing import Any

import click

from opanas_cli.commands.common.console import Console
from opanas_cli.commands.common.options import (
    CFG_OPTIONS,
    DEVICE,
    IMAGE_SIZE,
    NAME_OR_FILE,
    ConfigCommand,
    common_options,
)
from opanas_cli.errors import UsageError

WHOLE = "whole"


@click.command(cls=ConfigCommand)
@click.argument("configs", nargs=-1, required=True, metavar="CONFIG...", type=NAME_OR_FILE)
@click.option(
    "--genotype",
    type=NAME_OR_FILE,
    metavar="GENOTYPE",
    help="The neck of each CONFIG that has a super-net: a file or a name.",
)
@IMAGE_SIZE
@click.option("--latency", is_flag=True, help="Time the detectors, too, with weights as they are initialised.")
@DEVICE
@CFG_OPTIONS
@common_options
def profile(
    configs: tuple[str, ...],
    genotype: str | None,
    image_size: tuple[int, int] | None,
    latency: bool,
    device: str,
    cfg_options: tuple[str, ...],
    console: Console,
) -> None:
    """Print the parameters, trained parameters and multiply-adds of detectors, by backbone, neck and heads.

    Reads each CONFIG: a file, the name of a shipped one, or mmdet::FOLDER/NAME for one of mmdet's. Writes nothing.

    \b
    Example:
      opanas profile coco mmdet::pafpn/faster-rcnn_r50_pafpn_1x_coco --genotype opa-fpn --image-size 1280 800
    """
    from opanas_cli.formats import resolve_genotype

    chosen = None if genotype is None else resolve_genotype(genotype)
    from opanas_cli.detection.configs.files import load_config
    from opanas_cli.detection.configs.necks import is_super_net, with_sub_net
    from opanas_cli.detection.costs.latency import detector_timings_ms, machine, untrained_detector
    from opanas_cli.detection.costs.profiling import detector_profile, input_size
    from opanas_cli.detection.processes.devices import select_device

    target = select_device(device) if latency else None
    loaded = [load_config(config, cfg_options) for config in configs]
    searched = [is_super_net(config) for config in loaded]
    if chosen is None and any(searched):
        raise UsageError(f"{configs[searched.index(True)]}: its neck is a super-net; choose a genotype with --genotype")
    if chosen is not None:
        if not any(searched):
            raise UsageError("--genotype: the neck of no CONFIG is a super-net; leave it out")
        loaded = [with_sub_net(one, chosen) if has else one for one, has in zip(loaded, searched, strict=True)]
    sizes = [image_size[::-1] if image_size else input_size(config) for config in loaded]
    parts = [detector_profile(config, size) for config, size in zip(loaded, sizes, strict=True)]
    rows: list[dict[str, Any]] = [
        {"config": name, "genotype": genotype if has else None, "image_size": list(size[::-1]), "parts": _document(own)}
        for name, has, size, own in zip(configs, searched, sizes, parts, strict=True)
    ]
    measured: dict[str, Any] = {}
    if target is not None:
        measured = {"measured": machine(target)}
        console.say(f"timing on {measured['measured']['device']}")
        detectors = [untrained_detector(config, target) for config in loaded]
        for row, times in zip(rows, detector_timings_ms(detectors, sizes, target), strict=True):
            low, median, high = quantiles(times, n=4, method="inclusive")
            row["latency_ms"] = {"median": median, "quartiles": [low, high], "timings": len(times)}
            row["fps"] = 1000 / median
    console.result("\n".join(_table(rows)), {**measured, "detectors": rows}, {})


def _document(parts: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    """The costs of each part, and their sums."""
    names = ("params", "trained_params", "macs")
    found = {part: {name: getattr(cost, name) for name in names} for part, cost in parts.items()}
    return {**found, WHOLE: {name: sum(cost[name] for cost in found.values()) for name in names}}


def _table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    timed = "latency_ms" in rows[0]
    titles = [_title(row) for row in rows]
    width = max(map(len, titles))
    latency = f"{'ms':>9}{'quartiles':>18}{'FPS':>8}" if timed else ""
    lines = [f"{'':{width}}  {'part':8}{'M params':>10}{'trained':>10}{'G MACs':>10}{latency}"]
    for title, row in zip(titles, rows, strict=True):
        for part, cost in row["parts"].items():
            millions = f"{cost['params'] / 1e6:>10.3f}{cost['trained_params'] / 1e6:>10.3f}"
            line = f"{title:{width}}  {part:8}{millions}{cost['macs'] / 1e9:>10.3f}"
            if timed and part == WHOLE:
                low, high = row["latency_ms"]["quartiles"]
                between = f"{low:.2f} to {high:.2f}"
                line += f"{row['latency_ms']['median']:>9.2f}{between:>18}{row['fps']:>8.2f}"
            lines.append(line)
            title = ""
    return lines


def _title(row: Mapping[str, Any]) -> str:
    width, height = row["image_size"]
    neck = f", {row['genotype']}" if row["genotype"] else ""
    return f"{row['config']}{neck}, {width}×{height}"
