"""The paper's tables: rows are counted as committed, and the page shows what the program prints."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
RESULTS = json.loads((ROOT / "benchmarks" / "results" / "tables.json").read_text(encoding="utf-8"))["rows"]
PAGE = (ROOT / "docs" / "tables.md").read_text(encoding="utf-8")


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("tables")


def test_the_page_shows_every_line_and_the_table_as_printed(tables: ModuleType) -> None:
    assert f"```text\n{tables.printed(RESULTS)}\n```" in PAGE
    assert [row["line"] for row in RESULTS] == [row.line for row in tables.ROWS]
    assert [row.line for row in tables.ROWS if f"\n{row.line}  # {row.name}\n" not in PAGE] == []


# GMACs and millions of parameters as the paper prints them.
GOLDEN = {
    "Faster R-CNN, PAFPN": (232, 45.1),
    "Cascade R-CNN, SEPC-Neck": (536, 76.3),
    "RetinaNet, Baseline": (239, 37.7),
    "Faster R-CNN, Fusing-splitting": (181, 40.1),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_rows_are_within_two_per_cent_of_the_paper(tables: ModuleType, name: str) -> None:
    (place,) = [place for place, row in enumerate(tables.ROWS) if row.name == name]
    row: dict[str, Any] = tables.measured(tables.ROWS[place])
    assert (row["ours"]["macs"], row["ours"]["params"]) == pytest.approx(
        (GOLDEN[name][0] * 1e9, GOLDEN[name][1] * 1e6), rel=0.02
    )
    assert row == RESULTS[place]


def test_whatever_differs_by_more_than_two_per_cent_is_explained() -> None:
    assert [
        row["name"] for row in RESULTS if max(map(abs, row["difference_percent"].values())) > 2 and not row["note"]
    ] == []


def test_the_notes_are_arithmetic() -> None:
    """The figures that the notes name, computed anew."""
    from opanas_cli.detection.costs.profiling import detector_cost
    from opanas_cli.detection.exporting.detector_config import export_config
    from opanas_cli.formats import resolve_genotype

    ours = {(row["table"], row["name"]): row["ours"] for row in RESULTS}
    attention = 2 * 4000 * 4000 * 256
    for detector, gmacs in (("RetinaNet", 239.6), ("Faster R-CNN", 207.4), ("Cascade R-CNN", 235.0)):
        assert ours[2, f"{detector}, Balanced FPN"]["macs"] - attention == pytest.approx(gmacs * 1e9, abs=0.05e9)
    assert 2 * ours[1, "RetinaNet, NAS-FPN (7@256)"]["macs"] == pytest.approx(276.7e9, abs=0.05e9)
    # Table 2's RetinaNet SEPC: FPN and four scale-equalizing paths, and what the note names.
    path = 3 * (256 * 256 * 9 + 256) + 3 * (256 * 18 * 9 + 18)
    parts = (-(2048 - 256) * 256 * 9, 256 * 256 * 9 + 256, 3 * (256 * 18 * 9 + 18), 256 * 256 + 256)
    assert [round(part / 1e6, 2) for part in parts] == [-4.13, 0.59, 0.12, 0.07]
    fpn = ours[2, "RetinaNet, Baseline"]["params"]
    assert ours[2, "RetinaNet, SEPC-Neck"]["params"] == fpn + 4 * path + sum(parts)
    assert round(3 * (168 * 168 * 9 + 168) / 1e6, 2) == 0.76
    assert round(ours[2, "RetinaNet, OPA-FPN@168"]["params"] / 1e6 - 0.76, 1) == 36.5
    plain = export_config(
        resolve_genotype("opa-fpn"), "coco", "cascade-rcnn", "res2net101-dcn", 160, overrides=("cost_input=(900,1200)",)
    )
    del plain.model.backbone["dcn"], plain.model.backbone["stage_with_dcn"]
    cost, whole = detector_cost(plain), ours[1, "Cascade R-CNN, @160 (1200×900)"]
    assert (round(cost.macs / 1e9, 1), round(cost.params / 1e6, 1)) == (437.7, 80.1)
    assert (round((whole["macs"] - cost.macs) / 1e9, 2), round((whole["params"] - cost.params) / 1e6, 2)) == (
        7.02,
        1.57,
    )


def test_the_largest_row_is_tested_at_the_published_size(tables: ModuleType) -> None:
    (row,) = [row for row in tables.ROWS if "1200×900" in row.name]
    config = row.config()
    resize = next(step for step in config.test_dataloader.dataset.pipeline if step["type"] == "Resize")
    train = next(step for step in config.train_dataloader.dataset.pipeline if step["type"] == "RandomResize")
    assert tuple(resize["scale"]) == (1200, 900)
    assert [tuple(scale) for scale in train["scale"]] == [(1600, 400), (1600, 1400)]
    assert config.train_cfg.max_epochs == 24
    assert tuple(config.cost_input) == (900, 1200)


def test_one_table_as_a_document(
    tables: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["tables.py", "--table", "6", "--json"])
    tables.main()
    assert json.loads(capsys.readouterr().out) == {"version": 1, "rows": [RESULTS[-1]]}
