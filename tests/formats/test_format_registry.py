"""Formats are found through entry points, and a bad plug-in never stops the others."""

from __future__ import annotations

import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from opanas_cli.errors import InvalidGenotypeError
from opanas_cli.formats import Codec, GenotypeRecord
from opanas_cli.formats.files import dump_record, read_record, write_record
from opanas_cli.formats.registry import FORMATS
from opanas_cli.genotype import Genotype

TD = Genotype.of(["top_down"])

GOOD = Codec("good", (".good",), lambda text, where: GenotypeRecord(TD), lambda record: "good")
SAME_SUFFIX = Codec("same-suffix", (".other", ".json"), None, lambda record: "")
SAME_NAME = Codec("json", (".jsn",))
ANOTHER_NAME = Codec("another", ())
LOUD_SUFFIX = Codec("loud", ("JSON",))
NO_CODEC = 7
WRITE_ONLY = Codec("write-only", (".wo",), None, lambda record: "written")
READ_ONLY = Codec("read-only", (".ro",), lambda text, where: GenotypeRecord(TD))


def point(name: str, attribute: str) -> EntryPoint:
    return EntryPoint(name, f"{__name__}:{attribute}", FORMATS.group)


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])


def built_in() -> list[EntryPoint]:
    return [EntryPoint(name, value, FORMATS.group) for name, value in FORMATS.built_in.items()]


def test_built_in_formats_come_first() -> None:
    assert list(FORMATS.all)[:4] == ["json", "released", "text", "graphml"]
    assert [FORMATS.all[name].suffixes for name in FORMATS.built_in] == [
        (suffix,) for suffix in (".json", ".py", ".txt", ".graphml")
    ]


def test_a_plug_in_is_loaded() -> None:
    assert FORMATS.load([*built_in(), point("good", "GOOD")])["good"] is GOOD


@pytest.mark.parametrize(
    ("name", "attribute", "reason"),
    [
        ("gone", "GONE", "AttributeError"),
        ("json", "SAME_NAME", "the name 'json' is taken"),
        ("same-suffix", "SAME_SUFFIX", "the suffix '.json' is taken by 'json'"),
        ("claimed", "ANOTHER_NAME", "it calls itself 'another'"),
        ("loud", "LOUD_SUFFIX", "suffixes must be lower-case"),
        ("seven", "NO_CODEC", "expected Codec, but got 7"),
    ],
)
def test_a_bad_plug_in_is_named_and_skipped(name: str, attribute: str, reason: str) -> None:
    with pytest.warns(RuntimeWarning, match=f"'{name}' .*{attribute}.* is skipped: .*{re.escape(reason)}"):
        loaded = FORMATS.load([*built_in(), point(name, attribute), point("good", "GOOD")])
    assert list(loaded) == [*FORMATS.built_in, "good"]


def test_a_plug_in_whose_module_does_not_import() -> None:
    with pytest.warns(RuntimeWarning, match="'lost' .* is skipped: ModuleNotFoundError"):
        assert not FORMATS.load([EntryPoint("lost", "no_such_module_at_all:X", FORMATS.group)])


def test_without_package_metadata_the_built_in_formats_work(plug_in: Callable[..., None]) -> None:
    plug_in(FORMATS)
    assert list(FORMATS.all) == list(FORMATS.built_in)


def test_metadata_seen_twice_is_no_clash(plug_in: Callable[..., None]) -> None:
    plug_in(FORMATS, *built_in(), *built_in(), point("good", "GOOD"), point("good", "GOOD"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert list(FORMATS.all) == [*FORMATS.built_in, "good"]


def test_one_way_formats(plug_in: Callable[..., None], tmp_path: Path) -> None:
    plug_in(FORMATS, point("write-only", "WRITE_ONLY"), point("read-only", "READ_ONLY"))
    file = tmp_path / "x.wo"
    write_record(TD, file)
    assert file.read_text() == "written"
    with pytest.raises(InvalidGenotypeError, match="'write-only' is write-only"):
        read_record(file)
    assert read_record(file, "read-only").genotype == TD
    with pytest.raises(InvalidGenotypeError, match="'read-only' is read-only"):
        dump_record(GenotypeRecord(TD), "read-only")


def test_importing_the_formats_is_light() -> None:
    code = (
        "import sys, opanas_cli.formats as f; f.shipped_genotypes();"
        "print(sorted({'jsonschema', 'networkx', 'torch', 'numpy', 'mmdet', 'rich'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
