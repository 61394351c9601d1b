import json
import subprocess
import sys
from pathlib import Path

import pytest

from opanas_cli.commands import run
from opanas_cli.formats import resolve_genotype


def test_without_a_file_it_draws_in_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["viz", "opa-fpn"]) == 0
    shown = capsys.readouterr().out
    assert "x4 = BU(P) + skip(x1) + TD(x3)" in shown
    assert "\x1b" not in shown


def test_the_alias_does_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["visualize", "opa-fpn"]) == 0
    aliased = capsys.readouterr().out
    assert run(["viz", "opa-fpn"]) == 0
    assert capsys.readouterr().out == aliased


def test_too_many_genotypes_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "drawing.svg"
    assert run(["viz", *["opa-fpn"] * 65, "-o", str(path)]) == 2
    line = "opanas: GENOTYPE: at most 64 are drawn side by side, but got 65; draw fewer at once\n"
    assert capsys.readouterr().err == line
    assert not path.exists()


@pytest.mark.parametrize("suffix", ["svg", "dot", "mmd", "html"])
def test_it_prints_the_path_of_what_it_wrote(tmp_path: Path, capsys: pytest.CaptureFixture[str], suffix: str) -> None:
    path = tmp_path / f"drawing.{suffix}"
    assert run(["viz", "opa-fpn", "top-down", "-o", str(path)]) == 0
    assert capsys.readouterr().out == f"{path}\n"
    text = path.read_text(encoding="utf-8")
    assert "opa-fpn" in text
    assert "top-down" in text


def test_json_is_one_document_whose_genotypes_can_be_read_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "drawing.dot"
    assert run(["viz", "opa-fpn", "--json", "-o", str(path)]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["version"] == 1
    assert document["files"] == [str(path)]
    assert path.exists()
    (entry,) = document["genotypes"]
    assert entry["name"] == "opa-fpn"
    assert resolve_genotype(entry["genotype"]) == resolve_genotype("opa-fpn")


def test_json_without_a_file_draws_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["viz", "opa-fpn", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["files"] == []


def test_genotypes_of_one_file_name_are_told_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [tmp_path / folder / "best.json" for folder in ("first", "second")]
    assert run(["viz", "opa-fpn", "--json"]) == 0
    genotype = json.loads(capsys.readouterr().out)["genotypes"][0]["genotype"]
    for file in files:
        file.parent.mkdir()
        file.write_text(json.dumps(genotype))
    assert run(["viz", *map(str, files)]) == 0
    shown = capsys.readouterr().out
    assert all(str(file) in shown for file in files)


def test_each_genotype_is_compared_with_the_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["viz", "top-down", "bottom-up", "top-down", "scale-equalizing", "--diff"]) == 0
    shown = capsys.readouterr().out
    equations = [line for line in shown.splitlines() if line.startswith("x1 = ")]
    assert equations == ["x1 = TD(P)", "x1 = BU*(P)", "x1 = TD(P)", "x1 = SE*(P)"]
    captions = [line for line in shown.splitlines() if line.startswith("dense")]
    assert ["first" in line for line in captions] == [False, True, True, True]


def test_dead_parts_can_be_hidden(tmp_path: Path) -> None:
    shown, hidden = tmp_path / "shown.dot", tmp_path / "hidden.dot"
    assert run(["viz", "opa-fpn", "-o", str(shown)]) == 0
    assert run(["viz", "opa-fpn", "--hide-dead", "-o", str(hidden)]) == 0
    assert shown.read_text().count("none") == 3
    assert "none" not in hidden.read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["viz"], 2, "Missing argument"),
        (["viz", "opa-fpn", "-o", "drawing.gif"], 2, ".svg, .png, .pdf, .dot, .mmd, .html"),
        (["viz", "opa-fpn", "-o", "drawing"], 2, "but got no suffix"),
        (["viz", "no-such-genotype"], 3, "no-such-genotype"),
        (["viz", "opa-fpn", "--diff"], 2, "there is only one"),
        (["viz", "opa-fpn", "opa-fpn", "--diff", "--hide-dead"], 2, "leave out --hide-dead"),
        (["viz", "opa-fpn", "sepc", "--diff"], 3, "sepc: is chain with N = 5, but opa-fpn is dense with N = 5"),
        (["viz", "opa-fpn", "top-down", "--diff", "--json"], 3, "top-down: is dense with N = 1"),
        (["viz", "opa-fpn", "--config", "shapes", "-o", "drawing.svg"], 2, "add -o FILE.html"),
        (["viz", "opa-fpn", "--config", "shapes"], 2, "add -o FILE.html"),
        (["viz", "opa-fpn", "--cfg-options", "cost_input=(64,64)"], 2, "--cfg-options: are settings of a config"),
        (["viz", "opa-fpn", "-o", "file/drawing.svg"], 1, "cannot be written"),
    ],
)
def test_bad_input_is_one_clear_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("no folder")
    assert run(arguments) == code
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_output_that_cannot_show_boxes_gets_plain_characters() -> None:
    program = "import sys; from opanas_cli.commands import run; sys.exit(run(['viz', 'opa-fpn']))"
    process = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, env={"PYTHONIOENCODING": "ascii"}, check=False
    )
    assert process.returncode == 0, process.stderr
    assert b"x1 --- TD --- . ---- skip   ." in process.stdout
