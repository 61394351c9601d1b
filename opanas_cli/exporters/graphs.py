"""Genotypes as graphs for other programs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from opanas_cli.exporters.exporter import ExportedFile, Exporter, ExportRequest


def _dot(request: ExportRequest) -> str:
    from opanas_cli.drawing import Diagram
    from opanas_cli.drawing.dot import to_dot

    return to_dot([Diagram.of(request.record.genotype, Path(request.name).stem)])


def _mermaid(request: ExportRequest) -> str:
    from opanas_cli.drawing import Diagram
    from opanas_cli.drawing.mermaid import to_mermaid

    return to_mermaid([Diagram.of(request.record.genotype, Path(request.name).stem)])


def _graphml(request: ExportRequest) -> str:
    from networkx import generate_graphml

    from opanas_cli.genotype.dag import to_digraph

    return "\n".join(generate_graphml(to_digraph(request.record.genotype)))


def _exporter(name: str, text_of: Callable[[ExportRequest], str]) -> Exporter:
    return Exporter(name, lambda request: [ExportedFile(name, text_of(request))])


DOT, MERMAID, GRAPHML = _exporter("dot", _dot), _exporter("mermaid", _mermaid), _exporter("graphml", _graphml)
