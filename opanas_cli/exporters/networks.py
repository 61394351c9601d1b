"""What the exporters of networks share: from a request to a network that was traced, and its checked outputs."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from opanas_cli.errors import OpanasError, UsageError
from opanas_cli.exporters.exporter import ExportRequest

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from opanas_cli.detection.exporting.network import Network

OPTIONS = frozenset({"detector", "backbone", "channels", "dataset", "num_classes", "cfg_options", "part", "size"})
DYNAMIC = "dynamic"

TOLERANCE = 1e-4
"""How far outputs may differ from torch's, as a part of the largest value of each."""


def traced_network(request: ExportRequest, suffix: str) -> tuple[Network, ExportedProgram]:
    """The network that a request asks for and its graph; UsageError if the output has not the suffix."""
    if request.output is None or request.output.suffix != suffix:
        raise UsageError(f"-o: choose a file that ends in {suffix}")
    from opanas_cli.detection.configs.building import config_errors
    from opanas_cli.detection.exporting.detector_config import export_config
    from opanas_cli.detection.exporting.network import network, traced
    from opanas_cli.detection.quiet import quietly

    options: dict[str, Any] = dict(request.options)
    part, size = options.pop("part", "detector"), options.pop("size", None)
    dynamic, dataset = options.pop(DYNAMIC, False), options.pop("dataset", "coco")
    options.pop("opset", None)
    overrides = options.pop("cfg_options", ())
    with config_errors(dataset, "cannot be exported"):
        config = export_config(request.record.genotype, dataset, **options, overrides=overrides)
    if request.weights is None:
        warnings.warn("the network's weights are random; give those of a detector by --weights", stacklevel=2)
    with quietly():
        source = network(config, part, request.weights, size, dynamic)
        return source, traced(source)


def require_equal(outputs: Any, expected: Any, what: str) -> None:
    """Raise OpanasError unless arrays equal torch's tensors within `TOLERANCE`."""
    import numpy as np

    for place, (output, wanted) in enumerate(zip(outputs, (tensor.numpy() for tensor in expected), strict=True)):
        scale = max(1.0, float(np.abs(wanted).max()))
        if output.shape != wanted.shape or not float(np.abs(output - wanted).max()) <= TOLERANCE * scale:
            raise OpanasError(f"{what}: output {place} differs from torch's; nothing was written. Please report this")
