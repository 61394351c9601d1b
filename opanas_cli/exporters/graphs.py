"""Genotypes as graphs for other programs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from shlex import quote

from opanas_cli.exporters.exporter import ExportedFile, Exporter, ExportRequest


def _dot(request: ExportRequest) -> str:
    from opanas_cli.drawing import Diagram
    from opanas_cli.drawing.dot import to_dot

    return to_dot([Diagram.of(request.record.genotype, Path(request.name).stem)])


def _mermaid(request: ExportRequest) -> str:
    from opanas_cli.drawing import Diagram
    from opanas_cli.drawing.mermaid import to_mermaid

    return to_mermaid([Diagram.of(request.record.genotype, Path(request.name).stem)])


def _exporter(name: str, text_of: Callable[[ExportRequest], str], how_to_run: str) -> Exporter:
    def files(request: ExportRequest) -> list[ExportedFile]:
        return [ExportedFile(name, text_of(request))]

    return Exporter(name, files, how_to_run=lambda request: how_to_run.format(quote(str(request.output))))


DOT = _exporter("dot", _dot, "draw it by dot -Tsvg -O {}")
MERMAID = _exporter("mermaid", _mermaid, "put it into a mermaid block of Markdown, or draw it by mmdc -i {}")
