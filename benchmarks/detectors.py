"""Tries a super-net as the neck of every detector config that comes with mmdet, and prints which take it.

    python benchmarks/detectors.py --results benchmarks/results/detectors.json --table

Each line is a config and ``works``, or the line that refuses it. ``works`` means that the detector was built and run
with its own neck, and built again with ours, whose levels are equal to those. Models that differ only in depth, losses
and classes are tried once. Takes half an hour on one core; no weights are downloaded.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from textwrap import shorten

WORKS = "works"
MOST = 130
"""Letters of a line in the table."""
IRRELEVANT = {
    *("train_cfg", "test_cfg", "data_preprocessor", "init_cfg", "num_classes", "loss_bbox", "loss_cls", "bbox_coder"),
    *("depth", "groups", "base_width", "frozen_stages", "norm_eval", "style", "with_cp", "reg_decoded_bbox"),
}
"""Settings that do not matter to the neck: models that differ in nothing else are tried once."""


def config_names(folders: list[str]) -> Iterator[str]:
    """``FOLDER/NAME`` of each of mmdet's configs, or of those in some folders."""
    import mmdet

    root = Path(mmdet.__file__).parent / ".mim" / "configs"
    for file in sorted(root.glob("*/*.py")):
        if file.parent.name not in ("_base_", "common") and (not folders or file.parent.name in folders):
            yield f"{file.parent.name}/{file.stem}"


def model_of(name: str) -> tuple[str, str]:
    """A text that is equal for configs of equal models, and empty if there is no model; and what is wrong."""
    import opanas_cli.detection  # noqa: F401
    from opanas_cli.detection.configs.files import load_config
    from opanas_cli.detection.configs.parts import without
    from opanas_cli.errors import OpanasError

    try:
        model = load_config(f"mmdet::{name}").model.to_dict()
    except OpanasError as error:
        return "", one_line(error)
    return repr(without(model, IRRELEVANT)), ""


def outcome_of(name: str) -> str:
    """``works``, or why not."""
    import torch

    import opanas_cli.detection  # noqa: F401
    from opanas_cli.detection.configs.files import load_config
    from opanas_cli.detection.configs.replaced_neck import with_super_net
    from opanas_cli.errors import OpanasError

    torch.set_num_threads(1)
    # Half of the time goes into weights that torch draws and mmdet draws again.
    torch.nn.init.kaiming_uniform_ = lambda tensor, *_, **__: tensor.zero_()
    try:
        with_super_net(load_config(f"mmdet::{name}"))
    except OpanasError as error:
        return one_line(error)
    except OSError as error:  # No network.
        return f"cannot be built without a download: {error}"
    return WORKS


def one_line(error: Exception) -> str:
    """The message without paths of this machine and the hint about tracebacks."""
    text = re.sub(r"^\S+\.py: |^mmdet::\S+: ", "", str(error))
    return re.sub(r"/\S+/site-packages/", "", re.sub(r" \(\w+; use --debug for the traceback\)$", "", text))


def tried(names: list[str]) -> Iterator[tuple[str, str]]:
    """Each name with its outcome. A crash ends only the process that tries it."""
    known: dict[str, str] = {}
    pool = ProcessPoolExecutor(1)
    for name in names:
        try:
            model, outcome = pool.submit(model_of, name).result()
            if model and model not in known:
                known[model] = pool.submit(outcome_of, name).result()
        except BrokenProcessPool:
            model, outcome, pool = "", "crashes", ProcessPoolExecutor(1)
        yield name, known.get(model, outcome)


def table(outcomes: dict[str, str]) -> str:
    """Markdown: by folder how many configs work, and what the lines that refuse the others begin with."""
    folders: dict[str, Counter[str]] = defaultdict(Counter)
    for name, outcome in outcomes.items():
        folders[name.split("/")[0]][outcome.split("; ")[0]] += 1
    rows = ["| configs | work | refused |", "|---|---|---|"]
    for folder, counts in folders.items():
        refused = "; ".join(f"{shorten(line, MOST)} ({count})" for line, count in counts.items() if line != WORKS)
        rows.append(f"| {folder} | {counts[WORKS]} of {counts.total()} | {refused} |")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", metavar="FOLDER", help="folders of configs (default: all)")
    parser.add_argument("--results", type=Path, help="JSON file of all outcomes; what it has is not tried again")
    parser.add_argument("--table", action="store_true", help="print a table by folder in the end")
    options = parser.parse_args()
    kept = json.loads(options.results.read_text()) if options.results and options.results.exists() else {}
    names = list(config_names(options.folders))
    for name, outcome in tried([name for name in names if name not in kept]):
        kept[name] = outcome
        print(f"{name}: {outcome}", flush=True)
        if options.results:
            options.results.write_text(json.dumps(dict(sorted(kept.items())), indent=1) + "\n")
    if options.table:
        print(table({name: kept[name] for name in names}))


if __name__ == "__main__":
    main()
