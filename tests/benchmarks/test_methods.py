"""Table 6 from what small searches by several methods leave."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from opanas_cli.commands import run


def test_the_table_of_the_methods(
    program: Callable[[str], ModuleType],
    document: Callable[..., dict[str, Any]],
    tiny_options: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def here(*arguments: object, settings: list[str]) -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            assert run([*map(str, arguments), "-q", "--cfg-options", *settings]) == 0

    monkeypatch.setattr(program("methods"), "opanas", here)
    names = ["random", "spos", "fair-darts", "fair"]
    few = ("search.population=2", "search.generations=0", "search.top_k=1")
    options = ["--run", "--device", "cpu", "--random", 1, "--methods", *names, "--cfg-options", *tiny_options, *few]
    printed = document("methods", "--work-dir", tmp_path, *options)["methods"]
    assert list(printed) == names
    spent = [(row["spent"]["images"], row["spent"]["evaluations"]) for row in printed.values()]
    # A training alone on all 12 images; one epoch on 7, and two sub-nets on the 5 held out, or 7 drawn of those.
    assert spent == [(12, 1), (12, 2), (14, 0), (12, 2)]
    assert all(row["spent"]["device_seconds"] > 0 and 0 <= row["AP"] <= 1 for row in printed.values())
    assert document("methods", "--work-dir", tmp_path)["methods"] == printed


def test_the_place_of_a_winner_among_all_necks(program: Callable[[str], ModuleType]) -> None:
    """Nodes in another order are the same network; a chain is none of the table's."""
    place_in = program("methods").place_in
    rows = [{"genotype": line, "seed": 0, "AP": ap} for line, ap in (("td|none,bu", 0.5), ("td|none,none", 0.7))]
    rows += [{"genotype": "td|bu,none", "seed": seed, "AP": ap} for seed, ap in enumerate((0.1, 0.5))]
    assert place_in(rows, "none|td,bu") == {"rank": 1, "of": 3, "regret": 0.0}
    assert place_in(rows, "bu|td,none") == {"rank": 3, "of": 3, "regret": pytest.approx(0.4)}
    assert place_in(rows, "se|td,none") is None
