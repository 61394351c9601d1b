"""A genotype file with all information paths."""

from __future__ import annotations

from pathlib import Path

import pytest
from narrow_detector import GENOTYPE


@pytest.fixture
def genotype(tmp_path: Path) -> Path:
    file = tmp_path / "genotype.txt"
    file.write_text(GENOTYPE)
    return file
