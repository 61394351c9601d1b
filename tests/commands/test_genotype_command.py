"""``opanas genotype`` as a user meets it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from opanas_cli.commands import run
from opanas_cli.formats import resolve_genotype, write_record
from opanas_cli.genotype import Genotype

TEXT = "td|td,td|fs,none,skip|bu,skip,none,td|bu,none,fs,se,bu"


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = run(["genotype", *arguments])
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return code, out, err


def document(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    code, out, err = call(capsys, *arguments, "--json")
    assert (code, err) == (0, "")
    loaded = json.loads(out)
    assert loaded["version"] == 1
    assert isinstance(loaded, dict)
    return loaded


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "list")
    assert code == 0
    assert any(line.startswith("opa-fpn ") and "N=5" in line for line in out.splitlines())
    names = {entry["name"]: entry for entry in document(capsys, "list")["genotypes"]}
    assert names["opa-fpn"]["text"] == TEXT
    assert names["sepc"]["space"] == "chain"


def test_show(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = call(capsys, "show", "opa-fpn")
    for fact in (
        TEXT,
        "6**15 = 470,184,984,576 genotypes",
        "15: 12 live, 3 dead",
        "5d76342a2e1de5e9",
        "3->5  scale_eq",
    ):
        assert fact in out
    facts = document(capsys, "show", "opa-fpn")
    assert facts["space_size"] == {"base": 6, "exponent": 15}
    assert len(facts["live_edges"]) == 12
    assert facts["genotype"]["format"] == "opanas-genotype"
    assert facts["genotype"]["metadata"]["provenance"]["source"].startswith("OPANAS")


def test_show_of_a_large_genotype(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "large.txt"
    write_record(Genotype.of(["skip_connect"] * (64 * 65 // 2)), file)
    assert "6**2080 genotypes" in call(capsys, "show", str(file))[1]
    assert document(capsys, "show", str(file))["space_size"]["exponent"] == 2080


def test_validate_tells_all(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    dead = tmp_path / "dead.txt"
    dead.write_text("none")
    code, out, err = call(capsys, "validate", "opa-fpn", str(dead), "opa-fpm", "panet")
    assert code == 3
    assert out.splitlines() == ["opa-fpn: valid", "panet: valid"]
    assert len(err.splitlines()) == 2
    assert "the output is dead" in err
    assert "did you mean 'opa-fpn'" in err


def test_validate_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = call(capsys, "validate", "opa-fpn", "opa-fpm", "--json")
    assert (code, err) == (3, "")
    results = json.loads(out)["results"]
    assert [(result["genotype"], result["valid"]) for result in results] == [("opa-fpn", True), ("opa-fpm", False)]
    assert results[0]["error"] is None
    assert "no such file" in results[1]["error"]


def test_convert_prints(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(capsys, "convert", "opa-fpn", "--to", "text") == (0, TEXT + "\n", "")
    assert document(capsys, "convert", "opa-fpn", "--to", "text")["text"] == TEXT + "\n"


def test_convert_through_every_format(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    previous = "opa-fpn"
    for name, to in (("a.txt", ()), ("b.py", ()), ("c.odd", ("--to", "released")), ("e.json", ("--from", "released"))):
        file = tmp_path / name
        code, out, err = call(capsys, "convert", previous, *to, "-o", str(file))
        assert (code, out, err) == (0, f"wrote {file}\n", "")
        previous = str(file)
    assert resolve_genotype(previous) == resolve_genotype("opa-fpn")
    assert document(capsys, "convert", "fpn", "-o", str(tmp_path / "f.json"))["file"] == str(tmp_path / "f.json")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("opa-fpn",), 2, "choose a format with --to FORMAT"),
        (
            ("opa-fpn", "--to", "jsn"),
            2,
            "'jsn' is not a genotype format; did you mean 'json'? Choose one of json,",
        ),
        (("opa-fpn", "--from", "x", "--to", "text"), 2, "'x' is not a genotype format"),
        (("opa-fpn", "-o", "x.yaml"), 3, "no genotype format has the suffix '.yaml'"),
        (("panet", "--to", "released"), 3, "dense genotypes only, but got a chain"),
        (("opa-fpm", "--to", "text"), 3, "did you mean 'opa-fpn'"),
        (("opa-fpn", "-o", "/dev/null/x.json"), 1, "cannot be written"),
    ],
)
def test_convert_refuses(
    arguments: tuple[str, ...], code: int, message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    found, out, err = call(capsys, "convert", *arguments)
    assert (found, out) == (code, "")
    assert message in err


def test_compare(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    twin = tmp_path / "twin.txt"
    twin.write_text("td|bu,none")
    other = tmp_path / "other.txt"
    other.write_text("bu|td,none")
    assert document(capsys, "compare", str(twin), str(twin))["relation"] == "equal"
    compared = document(capsys, "compare", str(twin), str(other))
    assert compared["relation"] == "equivalent"
    assert compared["canonical_hashes"][0] == compared["canonical_hashes"][1]
    assert compared["differing_edges"][0] == {"source": 0, "target": 1, "a": "top_down", "b": "bottom_up"}
    assert document(capsys, "compare", "fpn", "top-down")["relation"] == "equivalent"
    assert document(capsys, "compare", "fpn", "panet")["relation"] == "different"
    code, out, _ = call(capsys, "compare", str(twin), str(other))
    assert code == 0
    assert out.startswith("equivalent\n")
    assert "edge 0->1: top_down against bottom_up" in out
    assert call(capsys, "compare", "fpn", "panet", "-q")[:2] == (0, "different\n")


def test_compare_refuses_bad_input(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = call(capsys, "compare", "opa-fpn", "opa-fpm")
    assert (code, out) == (3, "")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("command", [[], ["list"], ["validate"], ["show"], ["convert"], ["compare"]])
def test_help_is_light_and_gives_an_example(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert "Example: opanas genotype" in call(capsys, *command, "--help")[1]


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from opanas_cli.commands import run; run(['genotype', 'show', '--help']);"
        "print(sorted({'jsonschema', 'networkx', 'torch', 'numpy', 'mmdet', 'rich'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "[]"
