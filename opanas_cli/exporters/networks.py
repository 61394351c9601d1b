"""What the exporters of networks share: from a request to a network that was traced, and its checked outputs."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from opanas_cli.errors import OpanasError, UsageError
from opanas_cli.exporters.exporter import ExportRequest

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from opanas_cli.detection.exporting.network import Network

OPTIONS = frozenset(
    {"detector", "backbone", "channels", "neck", "dataset", "num_classes", "cfg_options", "part", "image_size", "nms"}
)
DYNAMIC = "dynamic"

TOLERANCE = 1e-4
"""How far outputs may differ from torch's, as a part of the largest value of each."""
MOST_OTHERS = 0.05
"""The share of ranked boxes that may be others: rounding decides between those that score or overlap the same."""


def traced_network(request: ExportRequest, suffix: str) -> tuple[Network, ExportedProgram]:
    """The network that a request asks for and its graph; UsageError if the output has not the suffix."""
    if request.output is None or request.output.suffix != suffix:
        raise UsageError(f"-o: choose a file that ends in {suffix}")
    from opanas_cli.detection.configs.building import config_errors
    from opanas_cli.detection.exporting.detector_config import export_config
    from opanas_cli.detection.exporting.network import network, traced
    from opanas_cli.detection.quiet import quietly

    options: dict[str, Any] = dict(request.options)
    part, image_size = options.pop("part", "detector"), options.pop("image_size", None)
    size = image_size and (image_size[1], image_size[0])
    dynamic, nms, dataset = options.pop(DYNAMIC, False), options.pop("nms", False), options.pop("dataset", "coco")
    if nms and part != "detector":
        raise UsageError("--nms: is for --part detector; a neck has no boxes")
    options.pop("opset", None)
    overrides = options.pop("cfg_options", ())
    with config_errors(dataset, "cannot be exported"):
        config = export_config(request.record.genotype, dataset, **options, overrides=overrides)
    if request.weights is None:
        warnings.warn("the network's weights are random; give those of a detector by --weights", stacklevel=2)
    with quietly():
        source = network(config, part, request.weights, size, dynamic, nms)
        return source, traced(source)


def require_equal(network: Network, outputs: Sequence[Any], expected: Sequence[Any], what: str) -> None:
    """Raise OpanasError unless a network's outputs, as arrays, equal torch's tensors within `TOLERANCE`.

    Of ranked boxes nearly all must be among torch's with their scores; see `MOST_OTHERS`.
    """
    import numpy as np

    wanted = [tensor.numpy() for tensor in expected]
    is_equal = [array.shape for array in outputs] == [array.shape for array in wanted]
    if is_equal:
        scales = [max(1.0, float(np.abs(array).max())) for array in wanted]
        ours, theirs = ([one / scale for one, scale in zip(side, scales, strict=True)] for side in (outputs, wanted))
        is_equal = _same_boxes(ours, theirs) if network.is_ranked else all(map(_equal, ours, theirs))
    if not is_equal:
        raise OpanasError(f"{what}: its output differs from torch's; nothing was written. Please report this")


def _equal(ours: Any, theirs: Any) -> bool:
    return float(abs(ours - theirs).max()) <= TOLERANCE


def _same_boxes(ours: Sequence[Any], theirs: Sequence[Any]) -> bool:
    import numpy as np
    from scipy.spatial import KDTree

    rows = [np.concatenate([one[0].reshape(one.shape[1], -1) for one in side], axis=1) for side in (ours, theirs)]
    if not all(np.isfinite(side).all() for side in rows):
        return False
    distances, _ = KDTree(rows[0]).query(rows[1], p=np.inf)
    return float((distances > TOLERANCE).mean()) <= MOST_OTHERS
