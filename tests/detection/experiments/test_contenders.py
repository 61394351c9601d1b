"""The networks of a comparison cost the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_config import tiny_config

from opanas_cli.detection.costs.profiling import detector_cost
from opanas_cli.detection.costs.widths import set_width
from opanas_cli.detection.experiments.contenders import contenders, name_of
from opanas_cli.errors import InfeasibleError, InvalidConfigError, InvalidGenotypeError, UsageError
from opanas_cli.formats import resolve_genotype
from opanas_cli.formats.text import loads
from opanas_cli.genotype import Genotype
from opanas_cli.genotype.architecture import Architecture

CHOSEN = Genotype.of(["top_down", "bottom_up", "fusing_splitting"])


@pytest.mark.parametrize("norm", [{}, {"output_norm_cfg": {"type": "GN", "num_groups": 1}}])
def test_all_are_within_five_per_cent_of_the_first(shapes_root: Path, norm: dict[str, object]) -> None:
    config = tiny_config(shapes_root)
    set_width(config.model, 24)
    config.model.neck.update(norm, num_nodes=2, edge_importance=True)
    found = contenders(config, CHOSEN, "best", ["fpn", "random:3", "opa-fpn"], seed=0)
    assert [one.name for one in found] == ["best", "fpn", "random-1", "random-2", "random-3", "opa-fpn"]
    macs = [detector_cost(one.config).macs for one in found]
    assert macs == pytest.approx([macs[0]] * 6, rel=0.05)
    assert [one.config.model.neck.out_channels for one in found[2:5]] == [24] * 3
    assert found[1].config.model.neck.out_channels > 24 > found[5].config.model.neck.out_channels
    drawn = [loads(str(one.genotype), "test").genotype for one in found[2:5]]
    assert len({Architecture(genotype) for genotype in [CHOSEN, *drawn]}) == 4
    assert found[1].genotype is None
    assert loads(str(found[5].genotype), "test").genotype == resolve_genotype("opa-fpn")
    assert {one.config.model.neck.get("output_norm_cfg") is None for one in found if one.genotype} == {not norm}
    assert not [one.name for one in found if one.config.model.neck.get("edge_importance")]
    again = contenders(config, CHOSEN, "best", ["random:3"], seed=0)
    other = contenders(config, CHOSEN, "best", ["random:3"], seed=1)
    assert [one.genotype for one in again[1:]] == [one.genotype for one in found[2:5]]
    assert [one.genotype for one in other[1:]] != [one.genotype for one in found[2:5]]


def test_what_cannot_be_compared_is_refused(shapes_root: Path) -> None:
    config = tiny_config(shapes_root)
    config.model.neck.num_nodes = 2
    with pytest.raises(UsageError, match="--against: two networks are called 'fpn'"):
        contenders(config, CHOSEN, "fpn", ["fpn"], seed=0)
    for name in ("random", "random-2"):
        with pytest.raises(UsageError, match=f"--against: two networks are called '{name}'"):
            contenders(config, CHOSEN, name, ["random:2"], seed=0)
    with pytest.raises(InfeasibleError, match=r"--against random:900: of 10,000 random genotypes \d+ differ and come"):
        contenders(config, CHOSEN, "best", ["random:900"], seed=0)
    for text in ("random:0", "random:x", "random:10000", ""):
        with pytest.raises(
            UsageError, match=rf"--against: '{text}' is no network; give random:N with N from 1 to 9999"
        ):
            contenders(config, CHOSEN, "best", [text], seed=0)
    with pytest.raises(InvalidGenotypeError, match="no such file"):
        contenders(config, CHOSEN, "best", ["missing.json"], seed=0)
    config.load_from = "detector.pth"
    with pytest.raises(InvalidConfigError, match="load_from: fits the heads of some of the networks only"):
        contenders(config, CHOSEN, "best", ["fpn"], seed=0)


@pytest.mark.parametrize(
    ("given", "name"), [("opa-fpn", "opa-fpn"), ("runs/a b/best one.json", "best_one"), ("x/../$y.json", "_y")]
)
def test_names(given: str, name: str) -> None:
    assert name_of(given) == name
