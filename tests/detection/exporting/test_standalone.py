"""The neck in a file of its own: without opanas, and with the same output."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import mmcv.ops
import pytest
import torch

from opanas_cli.detection.exporting.standalone import CLASS_NAME, standalone_source
from opanas_cli.errors import InvalidGenotypeError
from opanas_cli.formats import resolve_genotype
from opanas_cli.genotype import Genotype
from opanas_cli.necks import OPAFPN

CHANNELS = (2, 3, 4, 5)
SIZES = [(25, 13), (13, 7), (7, 4), (4, 2)]
GENOTYPES = {
    "opa-fpn": resolve_genotype("opa-fpn"),
    "dead-parts": Genotype.of(["none", "scale_equalizing", "top_down"]),
    "chain": Genotype.of(["fusing_splitting", "skip_connect", "bottom_up"], "chain"),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {"deformable": False, "norm_cfg": {"type": "BN"}, "act_cfg": {"type": "ReLU"}},
    "released": {},
    "retinanet": {"start_level": 1, "extra_convs": True, "edge_importance": True},
}

WITHOUT_OTHERS = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("opanas_cli", "mmdet", "mmcv", "mmengine"):
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Refuse())
import torch
import NECK
state, features, options = torch.load(sys.argv[1], weights_only=True)
neck = NECK.StandaloneOPAFPN((2, 3, 4, 5), 4, 5, **options)
neck.load_state_dict(state)
torch.save(list(neck.eval()(features)), sys.argv[2])
assert not {"opanas_cli", "mmdet", "mmcv", "mmengine"} & set(sys.modules)
"""


def written(genotype: Genotype, folder: Path, name: str) -> ModuleType:
    file = folder / f"{name}.py"
    file.write_text(standalone_source(genotype))
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def random_weights(neck: torch.nn.Module, change: float = 0.2) -> torch.nn.Module:
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in neck.parameters():
            parameter += change * torch.randn_like(parameter)
    return neck.eval()


@pytest.mark.parametrize("options", list(OPTIONS))
@pytest.mark.parametrize("name", list(GENOTYPES))
def test_it_computes_exactly_the_same(tmp_path: Path, name: str, options: str) -> None:
    genotype = GENOTYPES[name]
    ours = random_weights(OPAFPN(CHANNELS, 4, 5, genotype, **OPTIONS[options]))
    theirs = getattr(written(genotype, tmp_path, f"neck_{len(name)}"), CLASS_NAME)(CHANNELS, 4, 5, **OPTIONS[options])
    theirs.load_state_dict(ours.state_dict())
    features = [torch.randn(2, count, *size) for count, size in zip(CHANNELS, SIZES, strict=True)]
    outputs = ours(features), theirs.eval()(features)
    assert len(outputs[0]) == 5
    assert all(map(torch.equal, *outputs))


def test_it_needs_torch_alone(tmp_path: Path) -> None:
    options = OPTIONS["retinanet"]
    neck = random_weights(OPAFPN(CHANNELS, 4, 5, GENOTYPES["opa-fpn"], **options))
    (tmp_path / "lonely_neck.py").write_text(standalone_source(GENOTYPES["opa-fpn"]))
    features = [torch.randn(1, count, *size) for count, size in zip(CHANNELS, SIZES, strict=True)]
    torch.save((neck.state_dict(), features, options), tmp_path / "in.pth")
    program = WITHOUT_OTHERS.replace("NECK", "lonely_neck")
    process = subprocess.run(
        [sys.executable, "-c", program, "in.pth", "out.pth"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
    outputs = torch.load(tmp_path / "out.pth", weights_only=True)
    assert all(map(torch.equal, outputs, neck(features)))


@pytest.mark.parametrize("name", list(GENOTYPES))
def test_its_source_is_whole(name: str) -> None:
    tree = ast.parse(standalone_source(GENOTYPES[name]))
    imported = {statement.module for statement in ast.walk(tree) if isinstance(statement, ast.ImportFrom)}
    assert not any(str(module).startswith("opanas") for module in imported)
    defined = [node.name for node in tree.body if isinstance(node, (ast.ClassDef, ast.FunctionDef))]
    assert len(defined) == len(set(defined)), "two of the modules define one name"
    constants = [target.id for node in tree.body if isinstance(node, ast.Assign) for target in node.targets]  # type: ignore[attr-defined]
    assert len(constants) == len(set(constants))


def test_dead_edges_are_left_out_and_dead_genotypes_refused(tmp_path: Path) -> None:
    module = written(Genotype.of(["none", "scale_equalizing", "top_down"]), tmp_path, "dead")
    assert module.EDGES == [(0, 2, "scale_equalizing")]
    assert tuple(module.OUTPUT_NODES) == (2,)
    with pytest.raises(InvalidGenotypeError, match="the output is dead"):
        standalone_source(Genotype.of(["none"]))


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_the_neck_for_mmdet_2_runs_mmcvs_operator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    """Of mmdet 2 only the registry is needed, here a stand-in; mmcv's operator has the same signature in 1.7 and 2."""
    registered: dict[str, Any] = {}
    registry = SimpleNamespace(register_module=lambda module, force: registered.update({module.__name__: module}))
    monkeypatch.setitem(sys.modules, "mmdet.models.builder", SimpleNamespace(NECKS=registry))
    file = tmp_path / "old_neck.py"
    file.write_text(standalone_source(GENOTYPES["opa-fpn"], mmdet2=True))
    spec = importlib.util.spec_from_file_location("old_neck", file)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    ours = random_weights(OPAFPN(CHANNELS, 4, 5, GENOTYPES["opa-fpn"], **options), 0.05).requires_grad_(False)
    neck = registered[CLASS_NAME](CHANNELS, 4, 5, **options).eval()
    neck.load_state_dict(ours.state_dict())
    calls = []
    monkeypatch.setattr(
        module, "mmcv_deform_conv2d", lambda *given: calls.append(given) or mmcv.ops.deform_conv2d(*given)
    )
    features = [torch.randn(2, count, *size) for count, size in zip(CHANNELS, SIZES, strict=True)]
    for output, expected in zip(neck(features), ours(features), strict=True):
        torch.testing.assert_close(output, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
    assert bool(calls) == options.get("deformable", True)
    assert "grid_sample" not in file.read_text()
