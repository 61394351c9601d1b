"""``opanas report``: what it prints and writes, and when it refuses."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from test_start_up import answer

from opanas_cli.commands import run
from opanas_cli.genotype import SearchSpace
from opanas_cli.search import History, SearchSettings


def test_it_writes_a_page_into_the_work_dir(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    History.create(tmp_path / "history.jsonl", SearchSettings(SearchSpace()))
    (tmp_path / "population.json").write_text("{")
    assert run(["report", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert out.startswith(
        "candidates: 0, retrained detectors: 0\nnot there yet: supernet.pth, best.json, finalists.jsonl,"
    )
    assert "\ncannot be read: population.json: Expecting property name" in out
    assert out.endswith(f"  report  {tmp_path / 'report.html'}\n")
    assert "What was searched" in (tmp_path / "report.html").read_text()


def test_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "pages" / "cells.html"
    assert run(["report", str(tmp_path), "-o", str(page), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document.pop("missing")[:2] == ["supernet.pth", "history.jsonl"]
    expected = {"version": 1, "candidates": 0, "retrained": [], "problems": {}, "files": {"report": str(page)}}
    assert document == expected
    assert page.read_text().startswith("<!DOCTYPE html>")


def test_it_refuses_what_is_no_work_dir(tmp_path: Path, refused: Callable[..., str]) -> None:
    assert refused(3, "report", tmp_path / "nope").endswith("give the --work-dir of a search")
    (tmp_path / "file").write_text("")
    assert "cannot be read (Not a directory)" in refused(3, "report", tmp_path / "file")
    assert "leave out --json" in refused(2, "report", tmp_path, "--watch", "--json")
    assert list(tmp_path.glob("**/*.html")) == []


def test_it_loads_neither_torch_nor_matplotlib(tmp_path: Path) -> None:
    _, code, loaded = answer("report", str(tmp_path))
    assert code == 0
    assert loaded & {"torch", "mmdet", "mmengine", "matplotlib"} == set()


def test_watching_writes_the_page_anew_until_it_is_interrupted(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    program = (
        "import opanas_cli.commands.report as report; report.SECONDS_BETWEEN_LOOKS = 0.1\n"
        "from opanas_cli.__main__ import main; main()"
    )
    command = [sys.executable, "-c", program, "report", str(tmp_path), "--watch"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        wait_for(lambda: page.exists() and "Candidates: of history.jsonl" in page.read_text())
        assert 'data-reload="0.1"' in page.read_text()
        written = page.stat().st_mtime_ns
        time.sleep(0.5)
        assert page.stat().st_mtime_ns == written
        History.create(tmp_path / "history.jsonl", SearchSettings(SearchSpace()))
        wait_for(lambda: "dense, 5 nodes" in page.read_text())
    finally:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err.splitlines()[-1]) == (130, "", "opanas: interrupted")
    assert "data-reload" not in page.read_text().partition("<main>")[0]
    assert "dense, 5 nodes" in page.read_text()


def wait_for(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)
