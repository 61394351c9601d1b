"""Genotypes as mmdet configs of whole detectors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from opanas_cli.errors import UsageError
from opanas_cli.exporters.exporter import OPTIONS, ExportedFile, Exporter, ExportRequest


def _files(request: ExportRequest) -> Sequence[ExportedFile]:
    options = dict(request.options)
    standalone, overrides = options.pop("standalone", False), options.pop("cfg_options", ())
    output = request.output
    if standalone and "neck" in options:
        raise UsageError("--standalone: is for the neck of a genotype; leave out --neck")
    if standalone and output is None:
        raise UsageError("--standalone: writes two files; choose one with -o FILE")
    if output is not None and output.suffix != ".py":
        raise UsageError(f"-o: a config is Python and ends in .py, but got {output.name}")
    module = _neck_module(output) if standalone and output else None
    from opanas_cli.detection.configs.building import config_errors
    from opanas_cli.detection.exporting.detector_config import export_config, exported_text, standalone_config
    from opanas_cli.detection.exporting.standalone import standalone_source

    dataset = options.pop("dataset", "coco")
    with config_errors(dataset, "cannot be exported"):
        config = export_config(request.record.genotype, dataset, **options, overrides=overrides)
        if module is None:
            return [ExportedFile("config", exported_text(config))]
        text = exported_text(standalone_config(config, module), standalone=True)
    return [
        ExportedFile("config", text),
        ExportedFile("neck", standalone_source(request.record.genotype), f"{module}.py"),
    ]


def _neck_module(output: Path) -> str:
    """The module of the stand-alone neck that belongs to a config file."""
    module = f"{output.stem}_neck"
    if not module.isidentifier():
        raise UsageError(f"-o: {output.name} cannot be imported from; use letters, digits, _ and the suffix .py")
    return module


MMDET_CONFIG = Exporter("mmdet-config", _files, OPTIONS)
