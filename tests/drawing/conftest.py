"""Genotypes that the tests of drawing share."""

import pytest

from opanas_cli.formats import resolve_genotype
from opanas_cli.genotype import Genotype


@pytest.fixture
def opa() -> Genotype:
    """The published genotype: five nodes, 12 of its 15 edges live."""
    return resolve_genotype("opa-fpn")


@pytest.fixture
def half_dead() -> Genotype:
    """Three nodes; x2 has no input, so its fusing-splitting edge to x3 is dead."""
    return Genotype.of(["top_down", "none", "none", "none", "scale_equalizing", "fusing_splitting"])


@pytest.fixture
def chain() -> Genotype:
    """Three nodes in a row."""
    return Genotype.of(["top_down", "skip_connect", "bottom_up"], "chain")
