"""Networks as programs of `torch.export`, which torch alone loads and runs."""

from __future__ import annotations

import io
from collections.abc import Sequence

from opanas_cli.exporters.exporter import ExportedFile, Exporter, ExportRequest
from opanas_cli.exporters.networks import DYNAMIC, OPTIONS, require_equal, traced_network


def _files(request: ExportRequest) -> Sequence[ExportedFile]:
    network, program = traced_network(request, ".pt2")
    import torch

    written = io.BytesIO()
    torch.export.save(program, written)
    written.seek(0)
    loaded = torch.export.load(written).module()
    with torch.no_grad():
        for examples in network.trials:
            outputs = [output.numpy() for output in loaded(*examples)]
            require_equal(network, outputs, network.module(*examples), "torch.export")
    return [ExportedFile("pt2", written.getvalue())]


def _how_to_run(request: ExportRequest) -> str:
    of_detector = "" if request.options.get("part") == "neck" else ", after import torchvision"
    return f"run it by torch.export.load({str(request.output)!r}).module() in Python{of_detector}"


PT2 = Exporter("pt2", _files, OPTIONS | {DYNAMIC}, takes_weights=True, how_to_run=_how_to_run)
