"""What a search writes, less what it has cost: a part that a kill lost is spent again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def results_of(work_dir: Path) -> list[Any]:
    """``history.jsonl`` and ``population.json`` as bytes, and ``best.json`` without its cost."""
    best = json.loads((work_dir / "best.json").read_text())
    assert best["metadata"].pop("spent")["evolve"]["evaluations"] >= 0
    return [(work_dir / "history.jsonl").read_bytes(), (work_dir / "population.json").read_bytes(), best]
