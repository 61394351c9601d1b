"""``opanas init``: a config for one's own data, and if there is a budget, one that fits it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from shlex import quote
from typing import Any

import click

from opanas_cli.commands.common.console import Console, duration, shown
from opanas_cli.commands.common.options import DEVICE, NAME_OR_FILE, common_options, limit, output_option
from opanas_cli.errors import InfeasibleError, UsageError

FEW = 20
"""An AP of fewer images is mostly chance."""


@click.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.option(
    "--detector",
    type=NAME_OR_FILE,
    metavar="NAME|FILE|mmdet::NAME",
    help="A shipped config, a config file, or one of mmdet's, whose neck becomes a super-net.  [default: custom on a "
    "GPU, else custom-small]",
)
@click.option("--budget", metavar="DURATION", help="Time for all stages together, e.g. 8h or 90m, which settings fit.")
@DEVICE
@output_option("Config to write.", required=True)
@common_options
def init(data: Path, detector: str | None, budget: str | None, device: str, output: Path, console: Console) -> None:
    """Write a config of some thirty lines for the images in DATA, which search and all other commands take.

    Reads DATA, the folder of a data set. With --budget, measures for about half a minute what a step of each stage
    takes with these images on this machine, shows the sums, and writes settings that fit. Writes FILE.

    \b
    Example:
      opanas init /data/cells --budget 8h -o cells.py
    """
    from opanas_cli.search.budget import RESERVE, Plan, fitted, parse_duration, trained_enough

    seconds = limit("--budget", budget, parse_duration)
    if output.suffix != ".py":
        raise UsageError(f"-o: a config is Python and ends in .py, but got {output.name}")
    from opanas_cli.atomic import require_writable, write_atomically
    from opanas_cli.detection.configs.data_checks import check_data
    from opanas_cli.detection.configs.own_config import OwnDetector
    from opanas_cli.detection.configs.sections import section_of
    from opanas_cli.detection.pacing import Pacing
    from opanas_cli.detection.processes.devices import select_device

    if output.exists():
        raise UsageError(f"{output}: already exists; choose another -o, or delete it")
    require_writable(output.parent)
    target = select_device(device)
    name = detector or ("custom" if target.type == "cuda" else "custom-small")
    own = OwnDetector.named(name, data)
    check_data(own.config, ["train", "test"], console.warn, console.say)
    if own.constructor:
        console.warn(f"{name}: the learning rates that {own.constructor} gives each layer are left out; all have one")
    if own.left_out:
        console.warn(f"{name}: options of its optimizer are left out: {', '.join(own.left_out)}")
    pacing = Pacing(own.config)
    base = Plan(pacing.images, *(section_of(own.config, stage) for stage in ("supernet", "search", "retrain")))
    plan, pace, sums = trained_enough(base), None, []
    if seconds is not None:
        console.say(f"measuring what steps take on {target}, for about half a minute")
        pace = pacing.measure(target)
        plan = fitted(base, pace, (1 - RESERVE) * seconds)
        sums = plan.sums(pace)
        least = plan.seconds(pace) / (1 - RESERVE)
        if least > seconds:
            parts = ", ".join(f"{one.stage} {duration(one.seconds)}" for one in sums)
            raise InfeasibleError(
                f"--budget: {budget} is too short for {pacing.images.retrain} training images on {target}; "
                f"{math.ceil(least / 60)}m would do ({parts}) at the speed just measured, and less with a "
                "smaller --detector"
            )
    for count, what, way_out in (
        (pacing.images.search, "held out for the search", "search with --search-split 0 if more are to validate on"),
        (pacing.images.test, "to test on", "set split in the config to test on more"),
    ):
        if count < FEW:
            console.warn(f"{count} images {what}: the AP of fewer than {FEW} says little; {way_out}")
    table = [_images(pacing.images), *_rows(sums, seconds), *_changes(base, plan, own.base.stem if own.parts else name)]
    how = f"opanas search {quote(str(output))}"
    notes = [shown(line) for line in (f"A search with {name} on {data}: {how}", *table)]
    settings = {stage: getattr(plan, stage) for stage in ("supernet", "search", "retrain")}
    write_atomically(output, own.text(data, settings, notes))
    document = {
        "detector": name,
        "device": target.type,
        "images": asdict(pacing.images),
        "seconds_per_image": None if pace is None else asdict(pace),
        "stages": [asdict(one) for one in sums],
    }
    console.result("\n".join([*table, f"next: {how}"]), document, {"config": output})


def _images(images: Any) -> str:
    return (
        f"{images.retrain} training images: {images.supernet} for the super-net, {images.search} held out for the "
        f"search; {images.test} to test on; {images.classes} classes"
    )


def _changes(base: Any, plan: Any, name: str) -> list[str]:
    """What is not as in the base, as a line if there is anything."""
    from opanas_cli.detection.configs.own_config import SHOWN

    changed = [
        f"{stage}.{setting} {before} → {after}"
        for stage, settings in SHOWN.items()
        for setting in settings
        for before, after in [(getattr(getattr(one, stage), setting) for one in (base, plan))]
        if before != after and setting != "milestones"  # They change with the epochs.
    ]
    return [f"changed from {name}: {', '.join(changed)}"] if changed else []


def _rows(sums: Sequence[Any], budget: float | None) -> list[str]:
    """The sums of a budget as a table."""
    if budget is None:
        return []
    total = sum(one.seconds for one in sums)
    rows = [*((one.stage, one.factors, one.seconds) for one in sums), ("left over", "", budget - total)]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    rows.append(("budget", "", budget))
    return [f"{stage:{widths[0]}}  {factors:{widths[1]}}  {_hours(value):>10}" for stage, factors, value in rows]


def _hours(seconds: float) -> str:
    """A sum as h:mm:ss, so that sums can be checked."""
    return str(timedelta(seconds=round(seconds)))
