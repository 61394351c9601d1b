"""Every format gives back what it was given."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opanas_cli.errors import InvalidGenotypeError
from opanas_cli.formats import (
    GenotypeRecord,
    dump_record,
    read_record,
    resolve_genotype,
    shipped_genotypes,
    write_record,
)
from opanas_cli.formats.json_format import document_of
from opanas_cli.formats.registry import FORMATS
from opanas_cli.genotype import PAPER_PATHS, Genotype, SearchSpace, SpaceKind

PUBLISHED_TEXT = "td|td,td|fs,none,skip|bu,skip,none,td|bu,none,fs,se,bu"


@st.composite
def genotypes(draw: st.DrawFn) -> Genotype:
    """Any genotype with up to 6 nodes, dead ones included."""
    space = SearchSpace(draw(st.integers(1, 6)), draw(st.sampled_from(SpaceKind)))
    return Genotype(tuple(draw(st.sampled_from(PAPER_PATHS)) for _ in space.edges), space.kind)


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(genotypes(), st.dictionaries(st.text(max_size=4), plain, max_size=3))
@settings(deadline=None, max_examples=150)
def test_json_and_graphml_keep_genotype_and_metadata(genotype: Genotype, metadata: dict[str, object]) -> None:
    record = GenotypeRecord(genotype, metadata)
    text = dump_record(record, "json")
    assert FORMATS.all["json"].loads(text, "x") == record
    assert json.loads(text) == document_of(record)
    assert FORMATS.all["graphml"].loads(dump_record(record, "graphml"), "x") == record


@given(genotypes())
@settings(deadline=None, max_examples=100)
@pytest.mark.parametrize("name", ["text", "released"])
def test_other_formats_keep_the_genotype(name: str, genotype: Genotype) -> None:
    record = GenotypeRecord(genotype)
    if name == "released" and genotype.space is SpaceKind.CHAIN:
        with pytest.raises(InvalidGenotypeError, match="dense genotypes only"):
            dump_record(record, name)
    else:
        assert FORMATS.all[name].loads(dump_record(record, name), "x") == record


@pytest.mark.parametrize("name", ["json", "text", "released", "graphml"])
def test_files_are_read_by_their_suffix(name: str, tmp_path: Path) -> None:
    published = resolve_genotype("opa-fpn")
    file = tmp_path / f"best{FORMATS.all[name].suffixes[0]}"
    write_record(published, file)
    assert resolve_genotype(file) == resolve_genotype(str(file)) == published
    odd = tmp_path / "best.genotype"
    write_record(published, odd, name)
    assert read_record(odd, name).genotype == published


def test_the_published_genotype() -> None:
    """The fifteen paths of the published OPA-FPN, in its own spelling and in ours."""
    record = read_record(shipped_genotypes()["opa-fpn"])
    assert dump_record(record, "text") == PUBLISHED_TEXT + "\n"
    config = """model = dict(neck=dict(type='OPA_FPN', in_channels=[256, 512], stack=5, paths=[
        'TD', 'TD', 'TD', 'FS', 'none', 'skip_connect', 'BU', 'skip_connect', 'none', 'TD', 'BU', 'none', 'FS',
        'SE', 'BU']))"""
    assert FORMATS.all["released"].loads(config, "x").genotype == record.genotype


def test_shipped_genotypes_are_valid_and_name_their_source() -> None:
    names = set(shipped_genotypes())
    assert names >= {"opa-fpn", "top-down", "bottom-up", "scale-equalizing", "fusing-splitting", "fpn", "panet", "sepc"}
    for file in shipped_genotypes().values():
        record = read_record(file)
        assert record.metadata["provenance"]["source"]
        assert dump_record(record, "json") == file.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("top-down", "td"), ("bottom-up", "bu"), ("scale-equalizing", "se"), ("fusing-splitting", "fs"),
        ("fpn", "chain:td"), ("panet", "chain:td|bu"), ("sepc", "chain:td|se|se|se|se"),
    ],
)  # fmt: skip
def test_shipped_genotypes_say_what_their_names_do(name: str, text: str) -> None:
    assert dump_record(GenotypeRecord(resolve_genotype(name)), "text") == text + "\n"


def test_whatever_names_a_genotype_is_resolved() -> None:
    published = resolve_genotype("opa-fpn")
    assert resolve_genotype(published) is published
    assert resolve_genotype(shipped_genotypes()["opa-fpn"]) == published
    assert resolve_genotype([path.value for path in published.paths]) == published
    assert resolve_genotype(list(published.paths)) == published
    assert resolve_genotype(document_of(GenotypeRecord(published))) == published


def test_edges_may_come_in_any_order() -> None:
    document = document_of(GenotypeRecord(resolve_genotype("opa-fpn")))
    document["edges"].reverse()
    del document["metadata"]
    assert resolve_genotype(document) == resolve_genotype("opa-fpn")


def test_a_byte_order_mark_is_no_obstacle(tmp_path: Path) -> None:
    for name in ("json", "text", "released"):
        file = tmp_path / f"bom{FORMATS.all[name].suffixes[0]}"
        text = dump_record(GenotypeRecord(resolve_genotype("opa-fpn")), name)
        file.write_bytes(b"\xef\xbb\xbf" + text.encode())
        assert resolve_genotype(file) == resolve_genotype("opa-fpn")


@pytest.mark.parametrize("key", ["fitness", "cost", "provenance", "more"])
@pytest.mark.parametrize("value", ["x", 5, None, [1]])
def test_metadata_is_free(key: str, value: object) -> None:
    record, codec = GenotypeRecord(Genotype.of(["top_down"]), {key: value}), FORMATS.all["json"]
    assert codec.loads is not None
    assert codec.dumps is not None
    assert codec.loads(codec.dumps(record), "here") == record


def test_metadata_that_json_cannot_say_is_refused() -> None:
    for value in (float("nan"), {1, 2}):
        with pytest.raises(InvalidGenotypeError, match="metadata"):
            dump_record(GenotypeRecord(resolve_genotype("fpn"), {"x": value}), "json")
