"""The plug-ins that the docs show, installed as a user would install them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1] / "docs"

SEARCH = """
import json, sys
sys.path.insert(0, sys.argv[1])
from opanas_cli.genotype import SearchSpace
from opanas_cli.search.evaluator import Evaluation
from opanas_cli.search import Constraints, Cost, History, StrategySettings, run_search, strategy_named

class PathCount:
    def evaluate(self, genotypes):
        return [Evaluation({"AP": len(set(genotype.paths)) / 10}) for genotype in genotypes]

strategy = strategy_named("hill-climbing")(SearchSpace(3), StrategySettings(8, 4, 2), 0)
limit = Constraints(max_macs=6)
result = run_search(strategy, PathCount(), lambda genotype: Cost(len(set(genotype.paths)), 1), limit, History())
origins = [candidate.proposal.origin.value for candidate in result.evaluated]
print(json.dumps([type(strategy).__module__, len(result.evaluated), result.best.fitness, origins]))
"""


def installed(folder: Path, module: str, page: str) -> None:
    """Install the modules that a page of the docs shows, and the entry points of one, into a folder."""
    text = (DOCS / page).read_text(encoding="utf-8")
    for name, code in re.findall(r"^```python\n# (\w+)\.py\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        (folder / f"{name}.py").write_text(code, encoding="utf-8")
    points = re.search(rf'^\[project\.entry-points\."(\S+)"\]\n(\S+) = "({module}:\w+)"$', text, re.MULTILINE)
    assert points
    metadata = folder / f"{module}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[{}]\n{} = {}\n".format(*points.groups()))


def answer(folder: Path, *arguments: str, code: str | None = None) -> str:
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    program = ["-c", code, str(folder)] if code else ["-m", "opanas_cli", *arguments]
    ran = subprocess.run([sys.executable, *program], capture_output=True, text=True, check=False, env=environment)
    assert (ran.returncode, ran.stderr) == (0, ""), ran.stderr
    return ran.stdout


def test_the_strategy_of_the_docs_searches(tmp_path: Path) -> None:
    installed(tmp_path, "opanas_hill_climbing", "search-strategies.md")

    module, evaluated, best, origins = json.loads(answer(tmp_path, code=SEARCH))

    assert (module, evaluated, best) == ("opanas_hill_climbing", 40, 0.6)
    assert set(origins[:8]) == {"random"}
    assert "mutation" in origins[8:]


def test_the_format_of_the_docs_is_written_and_read(tmp_path: Path) -> None:
    installed(tmp_path, "opanas_csv", "genotypes.md")

    file = tmp_path / "opa.csv"
    file.write_text(answer(tmp_path, "genotype", "convert", "opa-fpn", "--to", "csv"))

    assert file.read_text().startswith("top_down,top_down,top_down,fusing_splitting,none,")
    assert answer(tmp_path, "genotype", "compare", "opa-fpn", str(file)).startswith("equal\n")


def test_the_exporter_of_the_docs_exports(tmp_path: Path) -> None:
    installed(tmp_path, "opanas_edges", "exporting.md")

    assert answer(tmp_path, "export", "panet", "--to", "edges") == "0 1 top_down\n1 2 bottom_up\n"


def test_the_path_of_the_docs_is_read_drawn_and_exported(tmp_path: Path) -> None:
    installed(tmp_path, "opanas_level_wise", "genotypes.md")

    file, best = tmp_path / "best.json", tmp_path / "best.txt"
    best.write_text("lw|none,td\n")
    file.write_text(answer(tmp_path, "genotype", "convert", str(best), "--to", "json"))
    assert json.loads(file.read_text())["edges"][0]["path"] == "level_wise"
    assert answer(tmp_path, "genotype", "compare", str(best), str(file)).startswith("equal\n")
    assert "LW level-wise" in answer(tmp_path, "viz", str(file))
    neck = f"""
from opanas_cli.necks import OPAFPN
print(sum(parameter.numel() for parameter in OPAFPN((4, 4), 4, 2, {str(file)!r}, deformable=False).paths.parameters()))
"""
    assert int(answer(tmp_path, code=neck)) == 2 * 2 * (4 * 4 * 9 + 4)
