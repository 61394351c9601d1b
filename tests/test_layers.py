"""The layers of the package: what each may import; and how long a file is, and that public things have docstrings."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import opanas_cli

PACKAGE = Path(opanas_cli.__file__).parent
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path.relative_to(PACKAGE).parts[0] != "configs")

BOTTOM = {
    "",
    "errors",
    "atomic",
    "termination",
    "plug_ins",
    "json_lines",
    "regular_files",
    "shipped",
    "stage_settings",
    "suggestions",
}
"""The lowest layer, modules of the package itself; the empty name is `opanas_cli`."""
MAY_IMPORT = {
    "genotype": set(),
    "statistics": set(),
    "formats": {"genotype"},
    "search": {"genotype", "formats"},
    "necks": {"genotype", "formats"},
    "detection": {"genotype", "statistics", "formats", "search", "necks"},
    "drawing": {"genotype", "formats", "search"},
    "exporters": {"genotype", "formats", "detection", "drawing"},
    "commands": {"genotype", "formats", "search", "necks", "detection", "drawing", "exporters", "statistics"},
    "__main__": {"commands"},
}
DETECTION = {
    "quiet": 0,
    "checkpoints": 1,
    "spent": 1,
    "operators": 1,
    "processes": 2,
    "data": 3,
    "scoring": 4,
    "configs": 5,
    "super_net_file": 6,
    "evaluating": 6,
    "costs": 7,
    "exporting": 8,
    "importing": 9,
    "training": 9,
    "experiments": 11,
    "searching": 10,
    "pacing": 10,
    "registration": 11,
}
"""The layer of each package and file of `detection`: they may import what is on lower layers."""
LIGHT_PACKAGES = ("genotype", "statistics", "formats", "search", "drawing")
NOT_IN_LIGHT_PACKAGES = {"torch", "torchvision", "mmdet", "mmengine", "mmcv"}
NOT_ON_IMPORT = {*NOT_IN_LIGHT_PACKAGES, "matplotlib", "scipy", "pymoo"}
MAX_LINES = 400


def module_name(path: Path) -> str:
    parts = ("opanas_cli", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def part(module: str) -> str:
    """The part of a name after `opanas_cli`, which is empty for names the package itself defines."""
    parts = module.split(".")
    name = parts[1] if len(parts) > 1 else ""
    return name if name in BOTTOM | MAY_IMPORT.keys() else ""


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, inside functions too, as an absolute name."""
    package = module_name(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def arrows() -> Iterator[tuple[Path, str]]:
    for path in FILES:
        yield from ((path, imported) for imported in imports(path))


def test_the_parts_are_known() -> None:
    parts = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in FILES} - {"__init__"}
    assert parts <= BOTTOM | MAY_IMPORT.keys()
    assert len(FILES) > 20


def test_imports_point_down() -> None:
    wrong = []
    for path, imported in arrows():
        here, there = part(module_name(path)), part(imported)
        if (
            imported.split(".")[0] == "opanas_cli"
            and there != here
            and there not in BOTTOM | MAY_IMPORT.get(here, set())
        ):
            wrong.append(f"{path.relative_to(PACKAGE)} imports {imported}")
    assert wrong == []


def test_imports_point_down_inside_detection() -> None:
    """`detection` itself, which registers everything, stands above all its packages."""

    def layer(module: str) -> tuple[str, int]:
        name = (*module.split("."), "")[2]
        return name, DETECTION[name]

    found = {
        (layer(module_name(path)), layer(imported), f"{path.relative_to(PACKAGE)} imports {imported}")
        for path, imported in arrows()
        if part(module_name(path)) == part(imported) == "detection" and path != PACKAGE / "detection" / "__init__.py"
    }
    assert [text for here, there, text in found if here[0] != there[0] and here[1] <= there[1]] == []
    assert {here[0] for here, _, _ in found} >= {"configs", "evaluating", "training"}


def test_search_and_necks_never_import_each_other() -> None:
    pairs = {(part(module_name(path)), part(imported)) for path, imported in arrows() if "opanas_cli" in imported}
    assert pairs & {("search", "necks"), ("necks", "search")} == set()


def test_only_detection_imports_mmdet() -> None:
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {imported}"
        for path, imported in arrows()
        if imported.split(".")[0] in {"mmdet", "mmengine", "mmcv"} and part(module_name(path)) != "detection"
    ]
    assert wrong == []


def test_light_packages_import_no_torch_even_inside_functions() -> None:
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {imported}"
        for path, imported in arrows()
        if imported.split(".")[0] in NOT_IN_LIGHT_PACKAGES and part(module_name(path)) in LIGHT_PACKAGES
    ]
    assert wrong == []


@pytest.mark.parametrize("name", LIGHT_PACKAGES)
def test_importing_a_light_package_loads_nothing_heavy(name: str) -> None:
    modules = [module_name(path) for path in FILES if part(module_name(path)) == name]
    program = (
        "import importlib, json, sys\n"
        f"for module in {modules!r}: importlib.import_module(module)\n"
        "print(json.dumps(sorted({module.split('.')[0] for module in sys.modules})))"
    )
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    assert set(json.loads(process.stdout)) & NOT_ON_IMPORT == set()


def test_no_file_is_too_long() -> None:
    lengths = {str(path.relative_to(PACKAGE)): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert {name: length for name, length in lengths.items() if length > MAX_LINES} == {}


def test_public_things_have_docstrings() -> None:
    bare = []
    for path in FILES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        things = [thing for thing in tree.body if isinstance(thing, (ast.FunctionDef, ast.ClassDef))]
        bare += [
            f"{path.relative_to(PACKAGE)}: {thing.name}"
            for thing in things
            if not thing.name.startswith("_") and not ast.get_docstring(thing)
        ]
        if not ast.get_docstring(tree):
            bare.append(f"{path.relative_to(PACKAGE)}: the module itself")
    assert bare == []
