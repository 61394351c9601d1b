"""The cost columns of the paper's Tables 1, 2, 4 and 6: as published, as built here, and the difference.

    python benchmarks/tables.py
    python benchmarks/tables.py --table 2 --json

Each row is the config that an `opanas export` line writes, counted at the config's `cost_input`; docs/tables.md has the
lines. Rows that no line builds are left out: other systems, and networks whose genotypes are not published.
"""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from mmengine.config import Config

from opanas_cli.commands.export import export
from opanas_cli.detection.costs.profiling import detector_cost
from opanas_cli.detection.exporting.detector_config import export_config
from opanas_cli.formats import resolve_genotype

ATTENTION = (
    "attention over 50×80 pixels is two products of 4000 × 4000 × 256, 8.19 G; without them 239.6, 207.4 and 235.0 G"
)
PYRAMID = (
    "our P6 is made of the last lateral, mmdet's of C5: (2048 − 256) × 256 × 9 = 4.13 M fewer; more are a convolution "
    "(0.59 M), offsets (0.12 M) and the context (0.07 M)"
)
OFFSETS = "offset convolutions of the backbone's deformable layers: 7.02 G and 1.57 M; without them 437.7 G and 80.1 M"
THREE_CONVOLUTIONS = (
    "0.76 M are as many as three 3×3 convolutions of 168 channels, which would have to be on small levels to agree "
    "with the MACs; the paper does not say"
)
OPERATIONS = "281 G agrees with operations at 640×640, two for each multiply-add: 2 × 138.4 = 276.7"
AS_IN_TABLE_3 = "Table 3 has 124 to 128 G for the same neck"


@dataclass(frozen=True)
class Row:
    """A row of a table: GMACs and millions of parameters as published, and the arguments of the export line.

    The note says where a difference comes from.
    """

    table: int
    name: str
    published: tuple[float, float]
    arguments: str
    note: str = ""

    @property
    def line(self) -> str:
        """The command that writes the config."""
        genotype, *options = self.arguments.split(" ", 1)
        return " ".join(["opanas export", genotype, "--to mmdet-config", *options])

    def config(self) -> Config:
        """The config that the line writes; the command's own parser reads it."""
        given = export.make_context("export", shlex.split(self.line)[2:]).params
        names = ("detector", "backbone", "channels", "neck", "schedule")
        return export_config(
            resolve_genotype(given["genotype"]),
            **{name: given[name] for name in names},
            overrides=given["cfg_options"],
        )


DETECTORS = {"RetinaNet": "retinanet", "Faster R-CNN": "faster-rcnn", "Cascade R-CNN": "cascade-rcnn"}
NECKS = {
    "Baseline": "opa-fpn --neck fpn --channels 256",
    "SEPC-Neck": "sepc --channels 256",
    "Balanced FPN": "opa-fpn --neck bfp --channels 256",
    "PAFPN": "opa-fpn --neck pafpn --channels 256",
    **{f"OPA-FPN@{width}": f"opa-fpn --channels {width}" for width in (64, 112, 120, 160, 168)},
    **{name: f"{name.lower()} --channels 256" for name in ("Top-down", "Bottom-up", "Scale-equalizing")},
    "Fusing-splitting": "fusing-splitting --channels 256",
}


def _row(table: int, detector: str, neck: str, gmacs: float, mparams: float, more: str = "", note: str = "") -> Row:
    arguments = f"{NECKS[neck]} --detector {DETECTORS[detector]} {more}".strip()
    return Row(table, f"{detector}, {neck}", (gmacs, mparams), arguments, note)


MULTI_SCALE = "--schedule 2x-ms"
AT_1200_900 = "--cfg-options 'cost_input=(900,1200)'"

ROWS = (
    Row(
        1,
        "RetinaNet, NAS-FPN (7@256)",
        (281, 60.3),
        "opa-fpn --neck nasfpn --channels 256 --detector retinanet --cfg-options 'cost_input=(640,640)'",
        OPERATIONS,
    ),
    _row(1, "Faster R-CNN", "OPA-FPN@64", 123, 29.5, MULTI_SCALE, AS_IN_TABLE_3),
    _row(1, "Cascade R-CNN", "OPA-FPN@160", 326, 60.6, MULTI_SCALE),
    Row(
        1,
        "Cascade R-CNN, @160 (1200×900)",
        (432, 80.3),
        f"opa-fpn --channels 160 --detector cascade-rcnn --backbone res2net101-dcn {MULTI_SCALE} {AT_1200_900}",
        OFFSETS,
    ),
    _row(2, "RetinaNet", "Baseline", 239, 37.7),
    _row(2, "RetinaNet", "SEPC-Neck", 314, 45.3, note=PYRAMID),
    _row(2, "RetinaNet", "Balanced FPN", 240, 38.0, note=ATTENTION),
    _row(2, "RetinaNet", "PAFPN", 245, 40.1),
    _row(2, "RetinaNet", "OPA-FPN@168", 207, 36.5, note=THREE_CONVOLUTIONS),
    _row(2, "Faster R-CNN", "Baseline", 207, 41.5),
    _row(2, "Faster R-CNN", "SEPC-Neck", 509, 49.1),
    _row(2, "Faster R-CNN", "Balanced FPN", 208, 41.8, note=ATTENTION),
    _row(2, "Faster R-CNN", "PAFPN", 232, 45.1),
    _row(2, "Faster R-CNN", "OPA-FPN@112", 197, 35.5),
    _row(2, "Cascade R-CNN", "Baseline", 235, 69.2),
    _row(2, "Cascade R-CNN", "SEPC-Neck", 536, 76.3),
    _row(2, "Cascade R-CNN", "Balanced FPN", 236, 69.4, note=ATTENTION),
    _row(2, "Cascade R-CNN", "PAFPN", 259, 72.7),
    _row(2, "Cascade R-CNN", "OPA-FPN@120", 225, 50.6),
    _row(4, "Faster R-CNN", "Baseline", 207, 41.5),
    _row(4, "Faster R-CNN", "Top-down", 209, 41.8),
    _row(4, "Faster R-CNN", "Bottom-up", 209, 41.8),
    _row(4, "Faster R-CNN", "Scale-equalizing", 234, 41.1),
    _row(4, "Faster R-CNN", "Fusing-splitting", 181, 40.1),
    _row(4, "Faster R-CNN", "OPA-FPN@112", 197, 35.5),
    _row(6, "Faster R-CNN", "OPA-FPN@112", 197, 35.5),
)


def measured(row: Row) -> dict[str, Any]:
    """A row with what its config costs; costs are in 1 and differences in percent of the published figure."""
    cost = detector_cost(row.config())
    published = {"macs": row.published[0] * 1e9, "params": row.published[1] * 1e6}
    ours = {"macs": cost.macs, "params": cost.params}
    difference = {name: 100 * (ours[name] / published[name] - 1) for name in ours}
    facts = {"table": row.table, "name": row.name, "published": published, "ours": ours}
    return {**facts, "difference_percent": difference, "note": row.note or None, "line": row.line}


def printed(rows: Iterable[dict[str, Any]]) -> str:
    """The tables as text; the notes follow, by their numbers."""
    lines = [f"table  {'':30}{'G MACs':>7}{'ours':>8}{'':9}{'M params':>10}{'ours':>8}{'':9}note"]
    notes: dict[str, int] = {}
    for row in rows:
        line = f"{row['table']:>5}  {row['name']:30}"
        for name, unit, width, digits in (("macs", 1e9, 7, 0), ("params", 1e6, 10, 1)):
            published, ours, difference = (row[column][name] for column in ("published", "ours", "difference_percent"))
            line += f"{published / unit:>{width}.{digits}f}{ours / unit:>8.{digits + 1}f}{difference:>+7.1f} %"
        number = notes.setdefault(row["note"], len(notes) + 1) if row["note"] else ""
        lines.append(f"{line}{number:>6}".rstrip())
    return "\n".join([*lines, "", *(f"{number}  {note}" for note, number in notes.items())])


def main() -> None:
    """Count the rows, and print the tables or a JSON document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    tables = sorted({row.table for row in ROWS})
    parser.add_argument("--table", type=int, choices=tables, help="this table only (default: all)")
    parser.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
    options = parser.parse_args()
    rows = [measured(row) for row in ROWS if options.table in (None, row.table)]
    if options.json:
        print(json.dumps({"version": 1, "rows": rows}, indent=2, ensure_ascii=False))
        return
    print(printed(rows))


if __name__ == "__main__":
    main()
