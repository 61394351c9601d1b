"""Faults in the one-line format and in configs of the released model."""

from __future__ import annotations

from pathlib import Path

import pytest

from opanas_cli.errors import InvalidGenotypeError
from opanas_cli.formats import resolve_genotype
from opanas_cli.formats.registry import FORMATS
from opanas_cli.genotype import Genotype


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected one line, such as td|td,td, but got 0"),
        ("td\ntd,td", "expected one line, such as td|td,td, but got 2"),
        ("td|td", "node 2 of a dense genotype has 2 paths, but got 1 in 'td'"),
        ("td|td,td,td", "node 2 of a dense genotype has 2 paths, but got 3"),
        ("td|", "node 2 of a dense genotype has 2 paths, but got 1 in ''"),
        ("chain:td|bu,bu", "node 2 of a chain genotype has 1 paths, but got 2"),
        ("td|td,sk", "node 2, path 2: 'sk' is not the short name of a path; did you mean 'skip'?"),
        ("td|td,TD", "node 2, path 2: 'TD' is not the short name of a path; did you mean 'td'?"),
        ("top_down", "node 1, path 1: 'top_down' is not the short name of a path; did you mean 'td'?"),
        ("7", "node 1, path 1: '7' is not the short name of a path; choose one of td, bu, se, fs, skip, none"),
        ("chain:", "node 1, path 1: '' is not the short name"),
        ("none|none,td", "the output is dead"),
        ("chain:td|none", "the output is dead: 'none' on edge 1->2"),
        ("td|" * 64 + "td", "expected 1 to 64 intermediate nodes, but got 65"),
        ("chain:" + "td|" * 100_000, "expected 1 to 64 intermediate nodes, but got 100001"),
    ],
)
def test_a_wrong_line(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "best.txt"
    file.write_text(text)
    with pytest.raises(InvalidGenotypeError) as caught:
        resolve_genotype(file)
    assert str(caught.value).startswith(f"{file}: {message}")
    assert "\n" not in str(caught.value)


def test_spaces_around_names_do_not_matter() -> None:
    genotype = FORMATS.all["text"].loads(" td | bu , skip \r\n", "x").genotype
    assert genotype == Genotype.of(["top_down", "bottom_up", "skip_connect"])


@pytest.mark.parametrize(
    "config",
    [
        "neck = dict(type='OPA_FPN', stack=2, paths=['TD', 'none', 'SE'])",
        "paths = ['TD', 'none', 'SE']\nstack = 2\nneck = dict(type='OPA_FPN', paths=paths, stack=stack)",
        "paths = ('TD', 'none', 'SE')",
        "model = {'neck': {'paths': ['TD', 'none', 'SE'], 'stack': 2, **other}}",
        "_base_ = './x.py'\nmodel = dict(neck=[dict(a=1), dict(paths=['TD', 'none', 'SE'])], **kw)",
        "a = dict(paths=['TD', 'none', 'SE'])\nb = dict(paths=['TD', 'none', 'SE'], stack=2)",
        "import os\nos.abort()\nx = dict(paths=['TD', 'none', 'SE'])\nraise SystemExit(7)",
        "s = '\\d'\nx = dict(paths=['TD', 'none', 'SE'])",
    ],
)
def test_paths_are_found_anywhere_and_nothing_is_run(config: str) -> None:
    genotype = FORMATS.all["released"].loads(config, "x").genotype
    assert genotype == Genotype.of(["top_down", "none", "scale_equalizing"])


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("", "there is no 'paths=[...]' in it; is this the config of an OPA-FPN?"),
        ("model = dict(neck=dict(type='FPN'))", "there is no 'paths=[...]' in it"),
        ("model = dict(", "line 1, column 13: not Python ("),
        ("a = 1\n  b = 2", "line 2, column "),
        ("x = dict(\n  paths=['TDD'])",
         "line 2: paths[0]: 'TDD' is not a path of the released model; did you mean 'TD'?"),
        ("x = dict(paths=['top_down'])",
         "line 1: paths[0]: 'top_down' is not a path of the released model; did you mean 'TD'?"),
        ("x = dict(paths=['skip'])",
         "line 1: paths[0]: 'skip' is not a path of the released model; did you mean 'skip_connect'?"),
        ("x = dict(paths=['?'])", "line 1: paths[0]: '?' is not a path of the released model; choose one of"),
        ("x = dict(paths=['TD', 3, 'TD'])", "line 1: paths[1]: expected a string, but got '3'"),
        ("x = dict(paths=['TD', f(), 'TD'])", "line 1: paths[1]: expected a string, but got 'f()'"),
        ("x = dict(paths=['TD'] * 3)", "line 1: paths: expected a list of names, but got \"['TD'] * 3\""),
        ("x = dict(paths=load())", "line 1: paths: expected a list of names, but got 'load()'"),
        ("paths = paths", "line 1: paths: expected a list of names"),
        ("x = dict(paths=['TD', 'TD'])", "line 1: paths: a dense genotype has N(N+1)/2 paths"),
        ("x = dict(paths=[])", "line 1: paths: a dense genotype has"),
        ("x = dict(paths=[" + "'TD'," * 2145 + "])", "line 1: paths: expected 1 to 64 intermediate nodes, but got 65"),
        ("x = dict(paths=['TD'],\n  stack=5)", "line 2: stack: '5' does not fit the 1 paths, which make 1 nodes"),
        ("x = dict(paths=['TD'], stack=n())", "line 1: stack: 'n()' does not fit"),
        ("x = dict(paths=['TD'])\ny = dict(paths=['BU'])", "lines 1 and 2 have different paths; keep one"),
        ("x = dict(paths=['none'])", "the output is dead"),
        ("x = " + "(" * 50_000, "line 1, column 20"),
        ("x = " + "-" * 50_000 + "1", "nested too deep"),
        ("x = a" + ".b" * 100_000, "longer than 65536 characters"),
        ("x = dict(paths=a" + ".b" * 30_000 + ")", ""),
        ("x = dict(paths=" + "-" * 900 + "1)", ""),
        ("x = dict(paths=['TD', " + "-" * 900 + "1, 'TD'])", ""),
        ("x = dict(paths=['TD'], stack=" + "-" * 900 + "1)", ""),
        ("x = " + "[" * 150 + "]" * 150, "there is no"),
        ("a\0b", ""),
    ],
    ids=lambda text: text[:40],
)  # fmt: skip
def test_a_wrong_config(config: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "best.py"
    file.write_text(config)
    with pytest.raises(InvalidGenotypeError) as caught:
        resolve_genotype(file)
    assert str(caught.value).startswith(f"{file}: {message}")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300 + len(str(file))
