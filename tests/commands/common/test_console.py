"""What a command says, and where."""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from opanas_cli.commands import cli, run
from opanas_cli.commands.common import console as module
from opanas_cli.commands.common.console import Console, SearchProgress, complain, plain_warnings
from opanas_cli.errors import OpanasError

Capture = pytest.CaptureFixture[str]


def test_a_result_ends_with_its_files(capsys: Capture) -> None:
    Console(False, False).result("done", {"ap": 0.5}, {"best": Path("b.json"), "history": Path("h.jsonl")})
    out, err = capsys.readouterr()
    assert out.splitlines() == ["done", "  best     b.json", "  history  h.jsonl"]
    assert err == ""


def test_json_is_one_document_without_what_json_lacks(capsys: Capture) -> None:
    console = Console(False, True)
    document = {"ap": float("nan"), "more": {"list": [1.5, float("inf")], "text": "nan"}}
    console.result("done", document, {"best": Path("b.json")})
    out, _ = capsys.readouterr()
    loaded = json.loads(out, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert loaded == {
        "version": 1,
        "ap": None,
        "more": {"list": [1.5, None], "text": "nan"},
        "files": {"best": "b.json"},
    }


def test_quiet_keeps_warnings(capsys: Capture) -> None:
    console = Console(True, False)
    console.say("working")
    console.warn("careful")
    with console.progress("search") as report:
        report(1, 1, "note")
    assert capsys.readouterr() == ("", "opanas: warning: careful\n")


def test_lines_come_now_and_then_and_at_the_end(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    with Console(False, False).progress("search") as report:
        for done in range(1, 31):
            now += 1.0
            report(done, 30, "x")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == ["search: 10/30 x, 20 s left", "search: 20/30 x, 10 s left", "search: 30/30 x"]


@pytest.mark.parametrize(("seconds", "text"), [(30, "70 s"), (300, "12 min"), (7200, "5 h"), (200_000, "5 d")], ids=str)
def test_the_time_left_is_that_of_the_steps_of_this_run(
    seconds: float, text: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    with Console(False, False).progress("search") as report:
        report(40, 100, "x")  # A run that is resumed.
        now += seconds
        report(58, 100, "x")
    assert capsys.readouterr().err == f"search: 58/100 x, {text} left\n"


def test_a_bar_on_a_terminal(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with Console(False, False).progress("search") as report:
        report(3, 7, "best 0.5")
    out, err = capsys.readouterr()
    assert out == ""
    assert "search" in err
    assert "3/7 best 0.5" in err


def test_stages_are_numbered_lines(capsys: Capture) -> None:
    console = Console(False, False)
    with console.stages("super-net", "search"):
        for title in ("super-net", "finalists", "search"):
            with console.progress(title) as report:
                report(3, 3, "x")
    assert capsys.readouterr().err.splitlines() == ["1/2 super-net: 3/3 x", "finalists: 3/3 x", "2/2 search: 3/3 x"]


def test_stages_are_one_display_on_a_terminal(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    console = Console(False, False)
    with console.stages("super-net", "search"):
        for done, title in enumerate(("super-net", "finalists", "search"), 3):
            with console.progress(title) as report:
                report(done, 7, "x")
    err = capsys.readouterr().err
    shown = re.findall(r"(1/2 super-net|2/2 search|finalists) .*? (\d/7 x)", err)
    assert shown[-3:] == [("1/2 super-net", "3/7 x"), ("2/2 search", "5/7 x"), ("finalists", "4/7 x")]
    assert err.index("2/2 search") < err.index("3/7 x"), "it is there from the start on"


def test_warnings_of_python_are_lines(capsys: Capture) -> None:
    with plain_warnings():
        warnings.simplefilter("always")
        warnings.warn("line 3 was\n  cut short", stacklevel=1)
    assert capsys.readouterr().err == "opanas: warning: line 3 was cut short\n"


HOSTILE = "a\nb\x1b[2J\u202e\x7f \udcff  é.json"
SHOWN = r"a\nb\x1b[2J\u202e\x7f \udcff  é.json"


def test_names_do_not_act_on_the_terminal(capsys: Capture) -> None:
    console = Console(False, False)
    console.say(f"checking {HOSTILE}")
    console.warn(f"{HOSTILE} is odd")
    console.result("done\nwell", {}, {"best": Path(HOSTILE)})
    out, err = capsys.readouterr()
    assert out.split("\n") == ["done", "well", f"  best  {SHOWN}", ""]
    shown_warning = " ".join(SHOWN.replace("\\n", " ").split())
    assert err.split("\n") == [f"checking {SHOWN}", f"opanas: warning: {shown_warning} is odd", ""]


@pytest.mark.parametrize("error", [OpanasError(HOSTILE), ValueError("x\n\x1b[2J"), OSError(5, "broken", HOSTILE)])
def test_errors_do_not_act_on_the_terminal(error: Exception, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(cli, "main", fail)
    assert run(["viz"]) == 1
    _, err = capsys.readouterr()
    assert err.count("\n") == 1
    assert err[:-1].isprintable()
    if isinstance(error, OpanasError):
        assert err == f"opanas: {SHOWN}\n"


def test_arguments_do_not_act_on_the_terminal(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "a\nb\x1b[2J.txt"
    path.write_text("td")
    assert run(["genotype", "validate", str(path), f"{path}.json"]) == 3
    out, err = capsys.readouterr()
    assert out == f"{tmp_path}/a\\nb\\x1b[2J.txt: valid\n"
    assert err.startswith(f"opanas: {tmp_path}/a\\nb\\x1b[2J.txt.json: no such file")
    assert err[:-1].isprintable()
    assert run(["no\x1b[2Jsuch"]) == 2
    assert capsys.readouterr().err[:-1].isprintable()


def test_only_what_is_printed_of_a_long_text_is_escaped(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    escaped: list[int] = []
    shown = module.shown
    monkeypatch.setattr(module, "shown", lambda text: escaped.append(len(text)) or shown(text))
    complain(f"a.json: {chr(0x10F000) * 10**6}; the way out")
    line = capsys.readouterr().err
    assert line.startswith(r"opanas: a.json: \U0010f000")
    assert line.endswith("; the way out\n")
    assert max(len(line), *escaped, 0) < 1100


def test_images_are_told_between_candidates() -> None:
    said: list[Any] = []
    shown = SearchProgress(lambda *what: said.append(what))
    shown.images(8, 24, 50)
    candidate = SimpleNamespace(proposal=SimpleNamespace(generation=3))
    shown.candidate(SimpleNamespace(candidate=candidate, best=SimpleNamespace(fitness=0.25), total=50))  # type: ignore[arg-type]
    shown.images(16, 24, 50)
    assert said == [
        (0, 50, "generation 0, images 8/24"),
        (1, 50, "generation 3, best 0.2500"),
        (1, 50, "generation 3, best 0.2500, images 16/24"),
    ]
