"""GraphML that is no genotype is refused in one clear line; what networkx writes of a genotype is read."""

from __future__ import annotations

import networkx as nx
import pytest

from opanas_cli.errors import InvalidGenotypeError
from opanas_cli.formats import GenotypeRecord, dump_record
from opanas_cli.formats.graphml import loads
from opanas_cli.genotype import Genotype
from opanas_cli.genotype.dag import to_digraph

TWO = Genotype.of(["top_down", "none", "bottom_up"])
TEXT = dump_record(GenotypeRecord(TWO), "graphml")


def test_networkx_reads_what_was_written_and_the_other_way_round() -> None:
    graph = nx.parse_graphml(TEXT)
    assert set(graph) == {"0", "1", "2", "output"}
    paths = {edge: data["path"] for *edge, data in graph.edges(data=True) for edge in [tuple(edge)]}
    assert paths == {
        ("0", "1"): "top_down",
        ("1", "2"): "bottom_up",
        ("1", "output"): "sum",
        ("2", "output"): "sum",
    }
    assert loads("\n".join(nx.generate_graphml(to_digraph(TWO))), "x").genotype == TWO


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("</graphml>", "", "x: is not GraphML"),
        ("<graphml", "<!DOCTYPE graphml><graphml", "x: has a document type"),
        ("top_down", "sideways", r"edges\[0\].path: .*sideways"),
        ('<edge source="1" target="2">', '<edge source="0" target="1">', "edge 0->1 is already listed"),
        ('id="output"', 'id="out"', "directed graph of the nodes 0 to N and 'output'"),
        ('edgedefault="directed"', 'edgedefault="undirected"', "directed graph"),
        (">dense<", ">tree<", "'tree' is not a space"),
        ('<edge source="1" target="output">', '<edge source="0" target="output">', "must come from 1, 2"),
        ('<edge source="0" target="1">', '<edge source="1" target="0">', r"edges\[0\].target: 0 is less than"),
    ],
)
def test_what_is_no_genotype_is_refused(old: str, new: str, message: str) -> None:
    assert old in TEXT
    with pytest.raises(InvalidGenotypeError, match=message) as caught:
        loads(TEXT.replace(old, new), "x")
    assert str(caught.value).startswith("x: ")
    assert "\n" not in str(caught.value)
