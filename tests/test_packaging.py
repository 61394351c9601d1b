"""What a user installs: the wheel on its own, and what it declares to need."""

import ast
import importlib.metadata
import json
import os
import re
import shlex
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

import opanas_cli

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = Path(opanas_cli.__file__).parent

BASE = {"click", "filelock", "jsonschema", "matplotlib", "networkx", "numpy", "rich", "scipy", "torch", "torchvision"}
EXTRA_MMDET = {"mmcv", "mmdet", "mmengine", "pycocotools", "PIL", "yaml"}
DISTRIBUTIONS = {
    "mmcv": "onedl-mmcv",
    "mmdet": "onedl-mmdetection",
    "mmengine": "onedl-mmengine",
    "PIL": "pillow",
    "yaml": "pyyaml",
}
"""Modules whose distribution has another name."""

Environment = dict[str, str]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the wheel, built from the source distribution, is installed without its dependencies."""
    pytest.importorskip("hatchling", reason="the extra `test` brings the build backend")
    folder = tmp_path_factory.mktemp("packaging")
    succeed([sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(folder)], ROOT)
    (archive,) = folder.glob("opanas-*.tar.gz")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    succeed([*pip, "--target", str(folder / "site"), str(archive)], folder)
    return folder / "site"


@pytest.fixture(scope="module")
def outside(installed: Path) -> tuple[Path, Environment]:
    """A folder outside of the checkout, and an environment in which only the installed wheel can be imported.

    Without `site` no .pth file is read, so an editable installation of the checkout is out of reach.
    """
    folders = [str(installed), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    return installed.parent, {**os.environ, "PYTHONPATH": os.pathsep.join(folders), "PYTHONNOUSERSITE": "1"}


def succeed(command: list[str], folder: Path, environment: Environment | None = None) -> str:
    process = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, encoding="utf-8", check=False
    )
    assert process.returncode == 0, f"{shlex.join(command)}\n{process.stdout}\n{process.stderr}"
    return process.stdout


def python(outside: tuple[Path, Environment], *arguments: str) -> str:
    return succeed([sys.executable, "-S", *arguments], *outside)


def test_the_installed_program_answers(installed: Path, outside: tuple[Path, Environment]) -> None:
    version = f"opanas {opanas_cli.__version__} (torch "
    assert python(outside, "-m", "opanas_cli", "--version").startswith(version)
    assert python(outside, str(installed / "bin" / "opanas"), "--version").startswith(version)
    listed = python(outside, "-m", "opanas_cli", "genotype", "list", "--quiet")
    assert [line.split()[0] for line in listed.splitlines()] == sorted(
        path.stem for path in (ROOT / "genotypes").glob("*.json") if "schema" not in path.name
    )
    assert "5d76342a2e1de5e9" in python(outside, "-m", "opanas_cli", "genotype", "show", "opa-fpn")


def test_the_wheel_brings_configs_and_genotypes(installed: Path, outside: tuple[Path, Environment]) -> None:
    program = (
        "import json, opanas_cli\n"
        "from opanas_cli.shipped import shipped_dir\n"
        "print(json.dumps([opanas_cli.__file__, *(str(shipped_dir(name)) for name in ('configs', 'genotypes'))]))"
    )
    package, configs, genotypes = map(Path, json.loads(python(outside, "-c", program)))
    assert package.is_relative_to(installed)
    for shipped, source in ((configs, ROOT / "configs"), (genotypes, ROOT / "genotypes")):
        assert shipped.parent == package.parent
        expected = {path.relative_to(source): path.read_bytes() for path in files_of(source)}
        assert {path.relative_to(shipped): path.read_bytes() for path in files_of(shipped)} == expected
    assert Path("genotype.schema.json") in {path.relative_to(genotypes) for path in files_of(genotypes)}


def test_the_metadata_is_complete(installed: Path) -> None:
    (distribution,) = importlib.metadata.distributions(name="opanas", path=[str(installed)])
    (point,) = distribution.entry_points
    assert (point.group, point.name) == ("console_scripts", "opanas")
    assert callable(point.load())
    assert distribution.version == opanas_cli.__version__
    assert distribution.metadata["License-Expression"] == "Apache-2.0"
    assert "Apache License" in (distribution.read_text("licenses/LICENSE") or "")
    assert (installed / "opanas_cli" / "py.typed").is_file()


def test_an_installed_config_is_read_outside_of_the_checkout(
    installed: Path, outside: tuple[Path, Environment]
) -> None:
    pytest.importorskip("mmdet")
    program = (
        "from opanas_cli.detection.configs.files import find_config, load_config\n"
        "print(find_config('shapes'), load_config('shapes').model.neck.type)"
    )
    assert python(outside, "-c", program).split() == [
        str(installed / "opanas_cli" / "configs" / "shapes.py"),
        "OPASuperNet",
    ]


def test_what_is_imported_is_declared(installed: Path) -> None:
    imported: dict[bool, set[str]] = {False: set(), True: set()}
    for path in files_of(PACKAGE):
        if path.suffix == ".py":
            imported["detection" in path.parts] |= third_party_imports(path)
    assert imported[False] == {*BASE, "onnx", "onnxruntime", "pymoo"} - {"torchvision"}
    assert imported[True] <= BASE | EXTRA_MMDET | {"faster_coco_eval"}
    (distribution,) = importlib.metadata.distributions(name="opanas", path=[str(installed)])
    declared = [line.split(";") for line in distribution.requires or []]
    base = {project_name(need) for need, *marker in declared if not marker}
    mmdet = {project_name(need) for need, *marker in declared if marker and "mmdet" in marker[0]}
    assert base == BASE
    assert {DISTRIBUTIONS.get(name, name) for name in EXTRA_MMDET} == mmdet


def files_of(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)


def third_party_imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names - set(sys.stdlib_module_names) - {"opanas_cli"}


def project_name(requirement: str) -> str:
    match = re.match(r"[\w.-]+", requirement)
    assert match is not None
    return match.group()
