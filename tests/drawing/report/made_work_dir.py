"""A work dir written by hand, whose numbers the tests know, and a reader of the page that is made of it."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from opanas_cli.formats import GenotypeRecord, write_record
from opanas_cli.genotype import Genotype, SearchSpace
from opanas_cli.json_lines import with_checksum
from opanas_cli.search import (
    Candidate,
    Constraints,
    Cost,
    History,
    Origin,
    Proposal,
    SearchSettings,
    StrategySettings,
)

HOSTILE = "<script>alert(1)</script>"

SETTINGS = SearchSettings(
    SearchSpace(2),
    budget=StrategySettings(population=3, generations=2, top_k=2),
    seed=7,
    constraints=Constraints(max_macs=12_000_000_000),
    evaluation={"classes": ["cell", HOSTILE], "num_images": 40, "annotations": {"annotations/train.json": "ab"}},
)

CANDIDATES = [
    Candidate(
        index,
        Proposal(Genotype.of(paths), generation, origin, parents),
        Cost(macs, 1_000_000 + index),
        fitness,
        {"AP": fitness},
    )
    for index, (paths, generation, origin, parents, macs, fitness) in enumerate(
        [
            (["top_down", "bottom_up", "top_down"], 0, Origin.RANDOM, (), 9_000_000_000, 0.1234567),
            (["top_down", "none", "fusing_splitting"], 0, Origin.RANDOM, (), 8_000_000_000, 0.25),
            (["skip_connect", "top_down", "none"], 0, Origin.RANDOM, (), 7_000_000_000, 0.0625),
            (["top_down", "none", "top_down"], 1, Origin.CROSSOVER, (0, 1), 10_000_000_000, 0.375),
            (["bottom_up", "none", "top_down"], 1, Origin.MUTATION, (3,), 11_000_000_000, 0.3125),
        ]
    )
]
"""The second, third and fourth are on the Pareto front; the fifth generation is not yet whole."""

SCALARS = [
    {"lr": 0.001, "loss": 2.5, "epoch": 1, "step": 10, "memory": 900},
    {"lr": 0.002, "loss": 1.25, "epoch": 1, "step": 20, "memory": 1000},
    {"edge_importance/0_1": 0.875, "edge_importance/0_2": 1.5, "edge_importance/1_2": -0.25, "step": 20,
     "sub_nets/mean_AP": 0.03125},
]  # fmt: skip

LOG = """2026/01/02 10:00:00 - mmengine - INFO -
System environment:
    Python: 3.11.7
    PyTorch: 2.9.1
    GPU 0: Imaginary GPU
2026/01/02 10:01:30 - mmengine - INFO - Epoch(train) [1][20/20]
"""

CONFIG = """data_root = '/data/cells'
model = dict(neck=dict(genotype=['top_down', 'none', 'top_down'], type='OPAFPN'))
randomness = dict(deterministic=False, seed=7)
train_cfg = dict(max_epochs=3, type='EpochBasedTrainLoop')
"""


def write_history(folder: Path) -> None:
    history = History.create(folder / "history.jsonl", SETTINGS)
    for candidate in CANDIDATES:
        history.append(candidate)


def write_log(folder: Path, rows: list[dict[str, Any]], stamp: str = "20260102_100000") -> Path:
    """A folder of mmengine's, as a training writes it."""
    run = folder / stamp
    (run / "vis_data").mkdir(parents=True)
    (run / "vis_data" / "scalars.json").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    (run / "vis_data" / "config.py").write_text(CONFIG)
    (run / f"{stamp}.log").write_text(LOG)
    return run


def write_everything(folder: Path) -> None:
    """All that the commands may leave in a work dir."""
    write_history(folder)
    write_log(folder / "train-supernet", SCALARS)
    tested = write_log(folder / "winner" / "retrain", SCALARS[:2])
    (tested / f"{tested.name}.json").write_text('{"AP": 0.453125, "AP50": 0.625, "time": 0.5, "AP_small": NaN}')
    best = CANDIDATES[3]
    provenance = {"opanas_version": "0.1.0", "search": SETTINGS.document(), "candidate": 3}
    write_record(GenotypeRecord(best.genotype, {"provenance": provenance}), folder / "best.json")
    (folder / "population.json").write_text("{}")
    with zipfile.ZipFile(folder / "supernet.pth", "w") as archive:
        archive.writestr("data", "weights")
    row = {"network": "td|none,td", "seed": 0, "settings": "ab", "epochs": 4, "metrics": {"AP": 0.40625}, "macs": 5}
    for name in ("finalists.jsonl", "comparison.jsonl", "correlation.jsonl"):
        (folder / name).write_text(with_checksum({**row, "seconds": 12.5}) + "\n")
    write_document(folder / "comparison.json", {"metric": "AP", "seeds": [0, 1], "networks": [
        {"name": "winner", "genotype": "td|none,td", "mean": 0.5, "deviation": 0.0625, "figures": [0.4375, 0.5625],
         "difference": None, "verdict": None, "macs": 10, "params": 20, "seconds": 30.5},
        {"name": "fpn", "genotype": None, "mean": 0.25, "deviation": None, "figures": [0.25, 0.25], "verdict": "better",
         "difference": {"value": 0.25, "low": 0.125, "high": 0.375}, "macs": 10, "params": 20, "seconds": None},
    ]})  # fmt: skip
    estimate = {"value": 0.75, "low": 0.5, "high": 0.875}
    measures = dict.fromkeys(("kendall", "spearman", "kendall_at_equal_macs"), estimate)
    write_document(folder / "correlation.json", {"metric": "AP", "super_net": measures, "macs": measures, "networks": [
        {"genotype": "td|none,td", "macs": 10, "super_net": 0.28125, "alone": [0.34375, 0.40625]},
        {"genotype": "bu|none,td", "macs": 20, "super_net": 0.21875, "alone": [0.3]},
    ]})  # fmt: skip
    sizes = {"macs": 300_400_000, "params": 3_310_000}
    seconds = {"train-supernet": 115.5, "total": 276.25}
    write_document(folder / "search.json", {"stages": {"winner/retrain": sizes}, "seconds": seconds})


def write_document(path: Path, document: Mapping[str, Any]) -> None:
    path.write_text(json.dumps({"version": 1, **document}))


class Page(HTMLParser):
    """What a page has: its text by section, the rows of tables, what marks say, and all attributes."""

    VOID = ("meta", "link")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.section = ""
        self.text: dict[str, str] = {}
        self.titles: dict[str, list[str]] = {}
        self.values: dict[str, list[str]] = {}
        self.rows: dict[str, list[list[str]]] = {}
        self.attributes: list[tuple[str, str, str]] = []
        self.tags: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in given.items()]
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "section":
            self.section = given["id"]
        elif tag == "data":
            self.values.setdefault(self.section, []).append(given["value"])
        elif tag == "title":
            self.titles.setdefault(self.section, []).append("")
        elif tag == "tr":
            self.rows.setdefault(self.section, []).append([])
        elif tag in ("td", "th"):
            self.rows[self.section][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "title" in self.open and self.open[-1] == "title":
            self.titles[self.section][-1] += data
        elif {"td", "th"} & set(self.open):
            self.rows[self.section][-1][-1] += data
        self.text[self.section] = self.text.get(self.section, "") + data
