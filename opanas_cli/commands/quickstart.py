"""``opanas quickstart``: every step on generated images."""

from __future__ import annotations

from dataclasses import replace

import click

from opanas_cli.commands.common.console import Console
from opanas_cli.commands.common.options import RunOptions, run_options
from opanas_cli.commands.common.several_processes import OneProcessCommand
from opanas_cli.commands.common.work_dir_lock import work_dir_lock
from opanas_cli.commands.search import Asked, forget_search, search_and_train

CONFIG = "shapes"


@click.command(cls=OneProcessCommand)
@run_options("runs/quickstart", resume=False)
def quickstart(run: RunOptions, console: Console) -> None:
    """Run every step on generated images. Takes minutes on two CPU cores; downloads nothing.

    Generates a data set of shapes, and then does what `opanas search shapes --against fpn --seeds 1` does: trains a
    small super-net, searches it, draws and exports the winner, and trains the winner and an FPN of the same MACs with
    the same schedule. Reads nothing; writes everything into the work dir. What an earlier run left there is replaced.

    \b
    Example:
      opanas quickstart --work-dir runs/quickstart
    """
    folder = run.folder("quickstart")
    console.say("loading torch and mmdet …")
    from opanas_cli.detection.configs.files import load_config
    from opanas_cli.detection.data.shapes import generate_shapes
    from opanas_cli.detection.processes.devices import select_device

    device = select_device(run.device)
    data = folder / "data"
    run = replace(run, cfg_options=(*run.cfg_options, f"data_root={data}"))
    with work_dir_lock(folder):
        console.say("generating images of shapes")
        generate_shapes(data, seed=run.seed)
        forget_search(folder)
        config = load_config(CONFIG, run.cfg_options)
        result = search_and_train(CONFIG, config, folder, run, device, Asked(against="fpn"), console)
    console.result(*result._replace(files={"data": data, **result.files}))
