"""Work dirs that the tests of the report share."""

from pathlib import Path

import pytest
from made_work_dir import write_everything


@pytest.fixture
def work_dir(tmp_path: Path) -> Path:
    """A work dir in which there is everything. Tests may change it."""
    folder = tmp_path / "cells"
    folder.mkdir()
    write_everything(folder)
    return folder
