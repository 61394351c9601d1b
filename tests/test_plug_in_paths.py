"""Information paths of another package take part in everything that ours do."""

from __future__ import annotations

import copy
import importlib.util
import json
import pickle
import re
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import torch

from opanas_cli.commands import run
from opanas_cli.errors import InvalidConfigError, InvalidGenotypeError
from opanas_cli.formats import GenotypeRecord, dump_record, resolve_genotype
from opanas_cli.genotype import Genotype, PathType, SearchSpace, information_paths
from opanas_cli.genotype.architecture import canonical_hash, facts_of
from opanas_cli.genotype.paths import BUILT_IN_PATHS, PATHS
from opanas_cli.necks import OPAFPN, OPASuperNet, inherited_state_dict
from opanas_cli.search import Constraints, Cost, History, StrategySettings, run_search, strategy_named
from opanas_cli.search.evaluator import Evaluation

NAMES = ["level_wise", "none", "smooth"]
"""An edge with weights, then one without."""
SPACE = ["top_down", "level_wise", "smooth", "none"]
CHANNELS, SIZES = (2, 3, 4), [(9, 7), (5, 4), (3, 2)]


def point(name: str, attribute: str = "") -> EntryPoint:
    return EntryPoint(name, f"plug_in_paths:{attribute or name.upper()}", PATHS.group)


@pytest.fixture
def install(plug_in: Callable[..., None]) -> Callable[..., None]:
    return lambda *points: plug_in(PATHS, *points)


@pytest.fixture
def genotype(install: Callable[..., None]) -> Genotype:
    install(point("level_wise"), point("smooth"))
    return Genotype.of(NAMES)


def features() -> list[torch.Tensor]:
    torch.manual_seed(0)
    return [torch.randn(2, count, *size) for count, size in zip(CHANNELS, SIZES, strict=True)]


def test_ours_come_first_and_stay_the_default(genotype: Genotype) -> None:
    assert list(information_paths()) == [*BUILT_IN_PATHS, "level_wise", "smooth"]
    assert SearchSpace().paths == BUILT_IN_PATHS[:6]
    assert facts_of(genotype)["space_size"] == {"base": 8, "exponent": 3}


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda path: pickle.loads(pickle.dumps(path))])
@pytest.mark.parametrize("name", ["top_down", "smooth"])
def test_a_path_is_one_object_and_its_name(genotype: Genotype, copied: Callable[..., object], name: str) -> None:
    path = PathType.parse(name)
    assert path == name == json.loads(json.dumps(path))
    assert copied(path) is path


@pytest.mark.parametrize(
    ("name", "attribute", "reason"),
    [
        ("gone", "GONE", "AttributeError"),
        ("no_path", "NO_PATH", "expected PathType, but got 7"),
        ("other", "SMOOTH", "it calls itself 'smooth'"),
        ("top_down", "TOP_DOWN", "the name 'top_down' is taken"),
        ("short_taken", "SHORT_TAKEN", "the short name 'td' is taken by 'top_down'"),
        ("no_colour", "NO_COLOUR", "#RRGGBB"),
    ],
)
def test_a_bad_path_is_named_and_skipped(install: Callable[..., None], name: str, attribute: str, reason: str) -> None:
    install(point(name, attribute), point("smooth"))
    with pytest.warns(RuntimeWarning, match=f"path '{name}' .* is skipped: .*{re.escape(reason)}"):
        assert list(information_paths()) == [*BUILT_IN_PATHS, "smooth"]


def test_an_unknown_path_is_refused_by_name_with_the_known_ones(genotype: Genotype, tmp_path: Path) -> None:
    file = tmp_path / "best.json"
    file.write_text(dump_record(GenotypeRecord(genotype), "json").replace("smooth", "smoothed"))
    known = "top_down, bottom_up, scale_equalizing, fusing_splitting, skip_connect, none, level_wise, smooth"
    message = f"edges[2].path: 'smoothed' is not an information path; did you mean 'smooth'? Choose one of {known}"
    with pytest.raises(InvalidGenotypeError, match=re.escape(message)):
        resolve_genotype(file)


def test_files_hold_it(genotype: Genotype, tmp_path: Path) -> None:
    for form, suffix in (("json", ".json"), ("text", ".txt")):
        file = tmp_path / f"best{suffix}"
        file.write_text(dump_record(GenotypeRecord(genotype), form))
        assert resolve_genotype(file) == genotype
    assert file.read_text() == "lw|none,sm\n"
    assert canonical_hash(genotype) == canonical_hash(Genotype.of(["level_wise", "none", "smooth"]))
    assert canonical_hash(genotype) != canonical_hash(Genotype.of(["level_wise", "none", "top_down"]))
    with pytest.raises(InvalidGenotypeError, match="the released model has no path 'level_wise'"):
        dump_record(GenotypeRecord(genotype), "released")


def test_drawings_show_it(genotype: Genotype, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "best.txt"
    file.write_text(dump_record(GenotypeRecord(genotype), "text"))
    assert run(["viz", str(file)]) == 0
    assert "LW level-wise   sm smooth" in capsys.readouterr().out
    for suffix in (".svg", ".html", ".dot", ".mmd"):
        assert run(["viz", str(file), "-o", str(tmp_path / f"best{suffix}"), "-q"]) == 0
        assert "#56b4e9" in (tmp_path / f"best{suffix}").read_text().lower()
    assert run(["export", str(file), "--to", "graphml"]) == 0
    assert ">level_wise<" in capsys.readouterr().out


def test_a_search_finds_it(genotype: Genotype) -> None:
    class Smoothness:
        def evaluate(self, genotypes: list[Genotype]) -> list[Evaluation]:
            return [Evaluation({"AP": found.paths.count("smooth") / 3}) for found in genotypes]

    strategy = strategy_named("evolution")(SearchSpace.of(2, paths=SPACE), StrategySettings(8, 6, 2), 0)
    result = run_search(strategy, Smoothness(), lambda _: Cost(1, 1), Constraints(), History())
    assert result.best.genotype == Genotype.of(["smooth"] * 3)


def test_the_super_net_hands_its_weights_on(genotype: Genotype) -> None:
    torch.manual_seed(0)
    parent = OPASuperNet(CHANNELS, 4, 3, num_nodes=2, paths=SPACE)
    child = OPAFPN(CHANNELS, 4, 3, genotype, edge_importance=True)
    child.load_state_dict(inherited_state_dict(parent, genotype))
    assert all(map(torch.equal, child(features()), parent(features(), genotype)))
    assert [path.value for path in parent.search_space.parameterised_paths] == ["top_down", "level_wise"]


@pytest.mark.parametrize(
    ("name", "message"),
    [("lost", "'lost' cannot be built by plug_in_modules:Lost"), ("liar", "'liar' has parameters; correct is_param")],
)
def test_a_path_that_cannot_be_built_is_named(install: Callable[..., None], name: str, message: str) -> None:
    install(point(name))
    with pytest.raises(InvalidConfigError, match=message):
        OPAFPN(CHANNELS, 4, 3, [name])


def test_costs_are_those_of_the_whole_detector(genotype: Genotype, tiny_options: tuple[str, ...]) -> None:
    from opanas_cli.detection.configs.building import build_detector
    from opanas_cli.detection.configs.files import load_config
    from opanas_cli.detection.costs.latency import measure_latencies
    from opanas_cli.detection.costs.profiling import CostModel, detector_cost
    from opanas_cli.detection.training.networks import sub_net_config

    config = load_config("shapes", (*tiny_options, f"model.neck.paths=[{','.join(SPACE)}]"))
    assert CostModel(config)(genotype) == detector_cost(sub_net_config(config, genotype))

    table = measure_latencies(build_detector(config), config, torch.device("cpu"))
    smooth = {edge: ms for (edge, path), ms in table.paths_ms.items() if path == "smooth"}
    assert set(smooth) == {(0, 1), (0, 2), (1, 2)}
    skipping = Genotype.of(["level_wise", "none", "skip_connect"])
    assert table.predict(genotype) == pytest.approx(table.predict(skipping) + smooth[1, 2])


def test_the_exported_neck_stands_alone(genotype: Genotype, tmp_path: Path) -> None:
    source, config = tmp_path / "best.txt", tmp_path / "exported.py"
    source.write_text(dump_record(GenotypeRecord(genotype), "text"))
    assert run(["export", str(source), "--to", "mmdet-config", "-o", str(config), "-q"]) == 0
    assert "'level_wise'" in config.read_text().replace('"', "'")
    assert run(["export", str(source), "--to", "mmdet-config", "-o", str(config), "--standalone", "-q"]) == 0
    spec = importlib.util.spec_from_file_location("exported_neck", tmp_path / "exported_neck.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert "opanas_cli" not in (tmp_path / "exported_neck.py").read_text()

    torch.manual_seed(0)
    ours, theirs = OPAFPN(CHANNELS, 4, 3, genotype), module.StandaloneOPAFPN(CHANNELS, 4, 3)
    theirs.load_state_dict(ours.state_dict())
    assert all(map(torch.equal, ours(features()), theirs(features())))
