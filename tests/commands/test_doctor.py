"""What `opanas doctor` finds, and its exit code."""

import json
import shutil
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from opanas_cli.commands import doctor, run
from opanas_cli.detection.data.shapes import generate_shapes


def findings(capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, dict[str, dict[str, str | None]]]:
    code = run(["doctor", "--json", *options])
    return code, {found["name"]: found for found in json.loads(capsys.readouterr().out)["findings"]}


def test_a_sound_machine_has_no_problem(capsys: pytest.CaptureFixture[str]) -> None:
    code, found = findings(capsys)
    assert [one["problem"] for one in found.values() if one["problem"]] == []
    assert code == 0
    assert found["torch"]["value"] == version("torch")
    assert found["operators"]["value"]


def test_a_missing_package_is_named_with_the_command_that_installs_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(doctor.PACKAGES, "mmcv", ("no-such-distribution",))
    code, found = findings(capsys)
    assert code == 4
    assert "pip install" in str(found["mmcv"]["problem"])
    assert "operators" not in found


@pytest.mark.parametrize("name", ["free", "total"])
def test_little_room_is_a_problem(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = {"free": 1e12, "total": 1e12, name: 6.4e7}
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(**sizes))
    code, found = findings(capsys)
    assert code == 1
    (problem,) = [one["problem"] for one in found.values() if one["problem"]]
    assert {"free": "--work-dir", "total": "--shm-size"}[name] in problem
    assert "operators" in found


def test_a_data_set_is_looked_at_whatever_else_is_wrong(
    shapes: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "LEAST_SHARED", 1e15)
    code, found = findings(capsys, "--data", str(shapes / "nowhere"))
    assert code == 3
    assert found["shared memory"]["problem"]
    assert "no such folder" in str(found["data set"]["problem"])


@pytest.fixture
def shapes(tmp_path: Path) -> Path:
    generate_shapes(tmp_path, 3, 2, 0)
    return tmp_path


def test_a_data_set_is_counted(shapes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = findings(capsys, "--data", str(shapes))
    assert code == 0
    annotations = json.loads((shapes / "annotations" / "train.json").read_text())
    count = len(annotations["annotations"])
    assert str(found["train"]["value"]).startswith("3 images of ")
    assert sum(int(word.strip(",")) for word in str(found["train"]["value"]).split()[4:] if word[0].isdigit()) == count


def test_the_error_of_a_broken_data_set_is_the_problem(shapes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = next((shapes / "train").iterdir())
    image.write_bytes(b"")
    code, found = findings(capsys, "--data", str(shapes))
    assert code == 3
    assert str(image) in str(found["data set"]["problem"])
    code, found = findings(capsys, "--data", str(shapes / "nowhere"))
    assert code == 3
    assert "no such folder" in str(found["data set"]["problem"])


def test_the_version_names_what_decides_results() -> None:
    from opanas_cli.commands import cli

    shown = CliRunner().invoke(cli, ["--version"]).output
    assert f"torch {version('torch')}" in shown
    assert "mmdet" in shown
