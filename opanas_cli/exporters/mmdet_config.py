"""Genotypes as mmdet configs of whole detectors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from shlex import quote

from opanas_cli.errors import UsageError
from opanas_cli.exporters.exporter import CONFIG_OPTIONS, ExportedFile, Exporter, ExportRequest


def _files(request: ExportRequest) -> Sequence[ExportedFile]:
    standalone = bool(request.options.get("standalone"))
    if standalone and "neck" in request.options:
        raise UsageError("--standalone: is for the neck of a genotype; leave out --neck")
    if standalone and request.output is None:
        raise UsageError("--standalone: writes two files; choose one with -o FILE")
    return _config_files(request, standalone, mmdet2=False)


def _mmdet2_files(request: ExportRequest) -> Sequence[ExportedFile]:
    if request.output is None:
        raise UsageError("--to mmdet2-config: writes two files; choose one with -o FILE")
    return _config_files(request, standalone=True, mmdet2=True)


def _config_files(request: ExportRequest, standalone: bool, mmdet2: bool) -> Sequence[ExportedFile]:
    options = {name: value for name, value in request.options.items() if name != "standalone"}
    dataset, overrides, output = options.pop("dataset", None), options.pop("cfg_options", ()), request.output
    if output is not None and output.suffix != ".py":
        raise UsageError(f"-o: a config is Python and ends in .py, but got {output.name}")
    module = _neck_module(output) if standalone and output else None
    from opanas_cli.detection.configs.building import config_errors
    from opanas_cli.detection.exporting.detector_config import (
        DETECTORS,
        export_config,
        exported_text,
        standalone_config,
    )
    from opanas_cli.detection.exporting.mmdet2_config import mmdet2_config
    from opanas_cli.detection.exporting.standalone import standalone_source

    if mmdet2 and options.get("detector", "faster-rcnn") not in DETECTORS:
        raise UsageError(f"--detector: of --to mmdet2-config must be one of {', '.join(DETECTORS)}")
    with config_errors(dataset or options.get("detector", "coco"), "cannot be exported"):
        config = export_config(request.record.genotype, dataset, **options, overrides=overrides)
        if module is None:
            return [ExportedFile("config", exported_text(config))]
        config = standalone_config(config, module)
        text = exported_text(mmdet2_config(config) if mmdet2 else config, standalone=True, mmdet2=mmdet2)
    neck = standalone_source(request.record.genotype, mmdet2)
    return [ExportedFile("config", text), ExportedFile("neck", neck, f"{module}.py")]


def _neck_module(output: Path) -> str:
    """The module of the stand-alone neck that belongs to a config file."""
    module = f"{output.stem}_neck"
    if not module.isidentifier():
        raise UsageError(f"-o: {output.name} cannot be imported from; use letters, digits, _ and the suffix .py")
    return module


def _how_to_run(request: ExportRequest) -> str:
    file = quote(str(request.output))
    return f"train it by opanas retrain {file}, or, with a compiled mmcv, by mmdet's python tools/train.py {file}"


def _how_to_run_mmdet2(request: ExportRequest) -> str:
    return f"train it by python tools/train.py {quote(str(request.output))} of mmdet 2.28"


MMDET_CONFIG = Exporter("mmdet-config", _files, CONFIG_OPTIONS, how_to_run=_how_to_run)
MMDET2_CONFIG = Exporter(
    "mmdet2-config", _mmdet2_files, CONFIG_OPTIONS - {"standalone", "neck"}, how_to_run=_how_to_run_mmdet2
)
