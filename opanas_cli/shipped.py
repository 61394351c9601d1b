"""Where the configs and genotypes that come with the package are."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def shipped_dir(name: str) -> Path:
    """The folder `configs` or `genotypes`: inside an installed package, or beside the package in a checkout."""
    for parent in (PACKAGE, PACKAGE.parent):
        if (parent / name).is_dir():
            return parent / name
    raise FileNotFoundError(f"the folder '{name}' of opanas is missing; install opanas again")
