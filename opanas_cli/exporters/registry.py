"""The exporters that are installed: ours, those of plug-ins, and all genotype formats that can be written."""

from __future__ import annotations

from collections.abc import Mapping
from shlex import quote

from opanas_cli.exporters.exporter import OPTIONS, ExportedFile, Exporter, ExportRequest
from opanas_cli.formats import dump_record
from opanas_cli.formats.registry import FORMATS, Codec
from opanas_cli.plug_ins import Registry, instance_called


def _checked(thing: object, name: str, loaded: Mapping[str, Exporter]) -> Exporter:
    exporter = instance_called(thing, Exporter, name)
    if not callable(exporter.files):
        raise TypeError(f"files must be a function, but got {exporter.files!r}")
    if not isinstance(exporter.options, frozenset) or not exporter.options <= OPTIONS:
        raise ValueError(f"options must be a frozenset of some of {', '.join(sorted(OPTIONS))}")
    if name in FORMATS.all:
        raise ValueError(f"the name '{name}' is that of a genotype format")
    return exporter


def _formats() -> dict[str, Exporter]:
    return {name: _of_format(name, codec) for name, codec in FORMATS.all.items() if codec.dumps}


def _of_format(name: str, codec: Codec) -> Exporter:
    def files(request: ExportRequest) -> list[ExportedFile]:
        return [ExportedFile(name, dump_record(request.record, name))]

    def how_to_run(request: ExportRequest) -> str:
        is_known = request.output is not None and request.output.suffix.lower() in codec.suffixes
        how = f"draw it by opanas viz {quote(str(request.output))}"
        return how if is_known else f"opanas reads it if its name ends in {' or '.join(codec.suffixes)}"

    return Exporter(name, files, how_to_run=how_to_run)


EXPORTERS = Registry(
    "opanas.exporters",
    "export format",
    {
        "mmdet-config": "opanas_cli.exporters.mmdet_config:MMDET_CONFIG",
        "mmdet2-config": "opanas_cli.exporters.mmdet_config:MMDET2_CONFIG",
        "onnx": "opanas_cli.exporters.onnx_model:ONNX",
        "pt2": "opanas_cli.exporters.pt2:PT2",
        "dot": "opanas_cli.exporters.graphs:DOT",
        "mermaid": "opanas_cli.exporters.graphs:MERMAID",
    },
    _checked,
    _formats,
    "--to",
)
