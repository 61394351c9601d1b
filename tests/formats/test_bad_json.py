"""Every way in which a genotype file can be wrong: one clear line, with the place in the file."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opanas_cli.errors import InvalidGenotypeError, UsageError
from opanas_cli.formats import read_record, resolve_genotype
from opanas_cli.formats.files import resolve_record
from opanas_cli.formats.json_format import document_of, record_of
from opanas_cli.genotype.edges import MAX_NODES
from opanas_cli.shipped import shipped_dir

Document = dict[str, Any]
PUBLISHED = document_of(resolve_record("opa-fpn"))
TEXT = json.dumps(PUBLISHED, indent=1)


def message_of(file: Path) -> str:
    """The one line that a user sees, without the folder."""
    with pytest.raises(InvalidGenotypeError) as caught:
        resolve_genotype(file)
    message = str(caught.value)
    assert caught.value.exit_code == 3
    assert "\n" not in message
    assert len(message) < 300
    return message.replace(f"{file.parent}/", "")


def changed(change: Callable[[Document], object]) -> Document:
    document = copy.deepcopy(PUBLISHED)
    change(document)
    return document


def edge(place: int, **values: object) -> Callable[[Document], object]:
    return lambda document: document["edges"][place].update(values)


def put(**values: object) -> Callable[[Document], object]:
    return lambda document: document.update(values)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (edge(7, path="top_dwn"), "edges[7].path: 'top_dwn' is not an information path; did you mean 'top_down'?"),
        (edge(7, path=7), "edges[7].path: 7 is not of type 'string'"),
        (edge(7, path="x"), "edges[7].path: 'x' is not an information path; choose one of top_down, bottom_up, "
         "scale_equalizing, fusing_splitting, skip_connect, none"),
        (edge(7, path=["top_down"]), "edges[7].path: ['top_down'] is not of type 'string'"),
        (edge(7, source="0"), "edges[7].source: '0' is not of type 'integer'"),
        (edge(7, source=True), "edges[7].source: True is not of type 'integer'"),
        (edge(7, source=1.5), "edges[7].source: 1.5 is not of type 'integer'"),
        (edge(7, source=-1), "edges[7].source: -1 is less than the minimum of 0"),
        (edge(7, target=0), "edges[7].target: 0 is less than the minimum of 1"),
        (edge(7, pth="none"), "edges[7]: unknown key 'pth'; did you mean 'path'?"),
        (lambda d: d["edges"][7].pop("path"), "edges[7]: 'path' is a required property"),
        (lambda d: d["edges"].__setitem__(7, 3), "edges[7]: 3 is not of type 'object'"),
        (lambda d: d["edges"].pop(8), "edges: edge 2->4 is missing; a dense space of 5 nodes has 15 edges"),
        (lambda d: d["edges"].append(d["edges"][3]), "edges[15]: edge 0->3 is already listed as edges[3]; keep one"),
        (edge(8, source=1), "edges[8]: edge 1->4 is already listed as edges[7]; keep one"),
        (edge(8, source=4), "edges[8]: edge 4->4 is not in a dense space of 5 nodes"),
        (edge(8, target=6), "edges[8]: edge 2->6 is not in a dense space of 5 nodes"),
        (put(edges=[]), "edges: []"),
        (put(edges={}), "edges: {} is not of type 'array'"),
        (put(num_nodes=4), "edges[10]: edge 0->5 is not in a dense space of 4 nodes"),
        (put(num_nodes=6), "edges: edge 0->6 is missing; a dense space of 6 nodes has 21 edges"),
        (put(num_nodes=64), "edges: edge 0->6 is missing; a dense space of 64 nodes"),
        (put(num_nodes=65), "num_nodes: 65 is greater than the maximum of 64"),
        (put(num_nodes=10**12), "num_nodes: 1000000000000 is greater than the maximum of 64"),
        (put(num_nodes=0), "num_nodes: 0 is less than the minimum of 1"),
        (put(num_nodes=5.5), "num_nodes: 5.5 is not of type 'integer'"),
        (put(num_nodes=None), "num_nodes: None is not of type 'integer'"),
        (put(space="dens"), "space: 'dens' is not one of ['dense', 'chain']"),
        (put(space=["dense"]), "space: ['dense'] is not one of ['dense', 'chain']"),
        (put(space="chain"), "edges[1]: edge 0->2 is not in a chain space of 5 nodes"),
        (put(format="genotype"), "format: 'opanas-genotype' was expected"),
        (put(version=2), "version: 2 is from a newer opanas, this release reads version 1; upgrade opanas"),
        (put(version=2, nodes=[]), "version: 2 is from a newer opanas"),
        (put(version="1"), "version: 1 was expected"),
        (put(metadata=[]), "metadata: [] is not of type 'object'"),
        (put(metadta={}), "unknown key 'metadta'; did you mean 'metadata'?"),
        (put(**{"a b": 1}), "unknown key 'a b'; choose one of format, version"),
        (lambda d: d.pop("edges"), "'edges' is a required property"),
        (lambda d: d.update(egdes=d.pop("edges")), "unknown key 'egdes'; did you mean 'edges'?"),
        (lambda d: [item.update(path="none") for item in d["edges"]], "the output is dead: every edge out of node 0"),
        (edge(7, path="x" * 100_000), "edges[7].path: 'xxxx"),
        (edge(7, source="x" * 100_000), "edges[7].source: 'xxxx"),
    ],
)  # fmt: skip
def test_a_wrong_document(change: Callable[[Document], object], message: str, tmp_path: Path) -> None:
    document = changed(change)
    file = tmp_path / "best.json"
    file.write_text(json.dumps(document))
    assert message_of(file).startswith(f"best.json: {message}")
    with pytest.raises(InvalidGenotypeError, match=re.escape(f"genotype: {message}")):
        resolve_genotype(document)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"metadata": {"fitness": {"AP": float("nan")}}}, "NaN"),
        ({"metadata": {"x": [0, float("inf")]}}, "Infinity"),
        ({"num_nodes": -float("inf")}, "-Infinity"),
    ],
)
def test_a_number_that_is_not_finite(values: Document, named: str, tmp_path: Path) -> None:
    document = changed(put(**values))
    file = tmp_path / "best.json"
    file.write_text(json.dumps(document))
    assert message_of(file) == f"best.json: expected finite numbers, but got {named}"
    with pytest.raises(InvalidGenotypeError, match="genotype: Out of range float values are not JSON compliant"):
        resolve_genotype(document)


def test_a_broken_chain(tmp_path: Path) -> None:
    file = tmp_path / "best.json"
    document = document_of(resolve_record("sepc"))
    document["edges"][2]["path"] = "none"
    file.write_text(json.dumps(document))
    assert message_of(file) == (
        "best.json: the output is dead: 'none' on edge 2->3 cuts the chain; put an information path there"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        (" \n", "the file is empty"),
        ("{", "line 1, column 2: not JSON ("),
        (TEXT.replace('"space"', "space"), "line 4, column 2: not JSON ("),
        (TEXT.replace('"edges": [', '"edges": '), "line 12, column 3: not JSON ("),
        (TEXT.replace('"source": 2,', '"source": 2', 1), "line 34, column 4: not JSON ("),
        (TEXT[:-1], "line"),
        (TEXT + "}", "line"),
        ("[]", "[] is not of type 'object'"),
        ('"opa-fpn"', "'opa-fpn' is not of type 'object'"),
        ("null", "None is not of type 'object'"),
        ('{"version": 1, "version": 1}', "the key 'version' is given twice; keep one"),
        (TEXT.replace('"path"', '"source": 0, "path"', 1), "the key 'source' is given twice; keep one"),
        ('{"a": {"b": [{"c": 1, "c": 2}]}}', "the key 'c' is given twice; keep one"),
        ('{"a": {"c": 1, "c": 2}, "a": 3}', "the key 'c' is given twice; keep one"),
        ('{"num_nodes": 1e999}', "expected finite numbers, but got 1e999"),
        ('{"num_nodes": ' + "9" * 10_000 + "}", ""),
        ("[" * 100_000, "nested too deep"),
        ('{"a":' * 100_000, "nested too deep"),
        ("[" * 500 + "]" * 500, "[[["),
    ],
    ids=lambda text: text[:30],
)  # fmt: skip
def test_a_text_that_is_no_genotype(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "best.json"
    file.write_text(text)
    assert message_of(file).startswith(f"best.json: {message}")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (TEXT.encode().replace(b"genotype", b"g\xe9notype", 1), "is not UTF-8; save it as UTF-8 text"),
        (TEXT.encode("utf-16"), "written as UTF-16; save it as UTF-8"),
        (bytes(range(256)) * 10, "byte 128 is not UTF-8"),
        (b"\0" * 100, "line 1, column 1: not JSON"),
        (b" " * (1 << 20) + b"{}", "cannot be read (it is larger than 1 MiB)"),
    ],
)
def test_bytes_that_are_no_text(data: bytes, message: str, tmp_path: Path) -> None:
    file = tmp_path / "best.json"
    file.write_bytes(data)
    assert message in message_of(file)


def test_a_folder(tmp_path: Path) -> None:
    assert "cannot be read (it is a folder, not a regular file); give a genotype file" in message_of(tmp_path)


@pytest.mark.parametrize("path", ["/dev/zero", "/proc/self/mem"])
def test_an_endless_or_unreadable_file(path: str) -> None:
    if not Path(path).exists():
        pytest.skip(f"no {path} here")
    with pytest.raises(InvalidGenotypeError, match=r"cannot be read \(it is a device|cannot be read"):
        read_record(Path(path), "json")


def test_a_link_to_nothing_is_not_suggested(tmp_path: Path) -> None:
    (tmp_path / "best.json").symlink_to("gone")
    assert "did you mean" not in message_of(tmp_path / "best.json")


def test_a_missing_file(tmp_path: Path) -> None:
    (tmp_path / "best.json").write_text(TEXT)
    assert message_of(tmp_path / "bets.json").endswith(
        f"did you mean '{tmp_path}/best.json'?".replace(f"{tmp_path}/", "")
    )
    assert "give a file, or one of bottom-up, fpn" in message_of(tmp_path / "else" / "q.json")
    with pytest.raises(InvalidGenotypeError, match=r"opa-fpm: no such file.*did you mean 'opa-fpn'"):
        resolve_genotype("opa-fpm")
    with pytest.raises(InvalidGenotypeError, match="cannot be read"):
        resolve_genotype("a\0b.json")
    with pytest.raises(InvalidGenotypeError, match="cannot be read"):
        resolve_genotype("x" * 5000)


def test_an_unknown_suffix(tmp_path: Path) -> None:
    file = tmp_path / "best.yaml"
    file.write_text(TEXT)
    assert "no genotype format has the suffix '.yaml'; use one of .json, .py, .txt" in message_of(file)
    assert read_record(file, "json") == resolve_record("opa-fpn")
    with pytest.raises(UsageError, match="'jsn' is not a genotype format; did you mean 'json'"):
        read_record(file, "jsn")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (["top_down", "top_dwn", "none"], "genotype: 'top_dwn' is not an information path; did you mean 'top_down'"),
        (["top_down"] * 2, "genotype: a dense genotype has"),
        ([], "genotype: a dense genotype has"),
        (["none"], "genotype: the output is dead"),
        ({}, "genotype: 'format' is a required property"),
        ({1: 2}, "genotype: unknown key '1'"),
        (7, "a genotype is a name, a file, a dict or a list of paths, but got 7"),
        (None, "a genotype is a name, a file, a dict or a list of paths, but got None"),
    ],
)
def test_a_value_that_is_no_genotype(value: Any, message: str) -> None:
    with pytest.raises(InvalidGenotypeError, match=message):
        resolve_genotype(value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 6) | st.sampled_from(["dense", "chain", "none", "top_down", "x", ""]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["source", "target", "path", "format", "edges", "z"]), inner, max_size=4)
    ),
    max_leaves=10,
)


@given(st.data())
@settings(deadline=None, max_examples=300)
def test_any_damage_is_one_line_and_what_is_read_meets_the_schema(data: st.DataObject) -> None:
    document = copy.deepcopy(document_of(resolve_record("panet")))
    place: Any = document
    key: Any = data.draw(st.sampled_from(list(document)))
    while isinstance(place[key], (dict, list)) and place[key] and data.draw(st.booleans()):
        place = place[key]
        key = data.draw(st.sampled_from(list(place) if isinstance(place, dict) else range(len(place))))
    place[key] = data.draw(json_values)
    schema = json.loads((shipped_dir("genotypes") / "genotype.schema.json").read_text())
    conforms = jsonschema.Draft202012Validator(schema).is_valid(document)
    try:
        record = record_of(document, "x")
    except InvalidGenotypeError as error:
        assert "\n" not in str(error)
        assert str(error).startswith("x: ")
    else:
        assert conforms
        assert document_of(record)["edges"] == sorted(document["edges"], key=lambda edge: edge["target"])


def test_the_schema_is_a_schema() -> None:
    schema = json.loads((shipped_dir("genotypes") / "genotype.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["properties"]["num_nodes"]["maximum"] == MAX_NODES
