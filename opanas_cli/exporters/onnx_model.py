"""Networks as ONNX models of standard operators; deformable convolutions become GridSample."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from typing import Any

from opanas_cli.errors import MissingDependencyError, OpanasError
from opanas_cli.exporters.exporter import ExportedFile, Exporter, ExportRequest
from opanas_cli.exporters.networks import DYNAMIC, OPTIONS, require_equal, traced_network

NEEDED = ("onnx", "onnxruntime", "onnxscript")
OPSET = 18
"""The least opset that torch's exporter writes; older ones are converted from it."""


def _files(request: ExportRequest) -> Sequence[ExportedFile]:
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingDependencyError(
            f"--to onnx needs {', '.join(missing)}; `pip install 'opanas[onnx]'` installs all it needs"
        )
    network, program = traced_network(request, ".onnx")
    opset = request.options.get("opset") or OPSET
    model = _model(network, program, opset)
    _check(model, network, opset)
    return [ExportedFile("onnx", model)]


def _how_to_run(request: ExportRequest) -> str:
    return f"run it by onnxruntime.InferenceSession({str(request.output)!r}) in Python"


def _model(network: Any, program: Any, opset: int) -> bytes:
    import torch

    from opanas_cli.detection.configs.building import reason_of
    from opanas_cli.detection.quiet import quietly

    try:
        with quietly():
            exported = torch.onnx.export(
                program,
                (),
                dynamo=True,
                opset_version=max(opset, OPSET),
                verbose=False,
                input_names=network.inputs,
                output_names=network.outputs,
            )
    except Exception as error:
        reason = f"{type(error).__name__}: {reason_of(error):.300}"
        raise OpanasError(f"torch cannot write this network as ONNX: {reason}") from error
    assert exported is not None
    model = _older(exported.model_proto, opset)
    model.metadata_props.add(key="classes", value=json.dumps(network.classes))
    return bytes(model.SerializeToString())


def _older(model: Any, opset: int) -> Any:
    """A model in an opset before that which torch writes, if one is asked for."""
    from onnx import version_converter

    if opset < OPSET:
        try:
            model = version_converter.convert_version(model, opset)
        except RuntimeError as error:
            raise _too_old(opset) from error
        for node in model.graph.node:
            # An attribute of ReduceMean from 18 on, which the converter leaves; it matters only if no axes are given.
            kept = [attribute for attribute in node.attribute if attribute.name != "noop_with_empty_axes"]
            if len(kept) < len(node.attribute):
                del node.attribute[:]
                node.attribute.extend(kept)
    return model


def _too_old(opset: int) -> OpanasError:
    return OpanasError(f"--opset: this network cannot be converted to opset {opset}; leave it out for {OPSET}")


def _check(model: bytes, network: Any, opset: int) -> None:
    """Raise OpanasError unless onnx's checker takes a model of standard operators, and onnxruntime equals torch."""
    import onnx
    import onnxruntime
    import torch

    onnx.checker.check_model(model, full_check=True)
    written = {entry.domain: entry.version for entry in onnx.load_from_string(model).opset_import}
    if written != {"": opset}:
        raise _too_old(opset)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    for examples in network.trials:
        given = {name: tensor.numpy() for name, tensor in zip(network.inputs, examples, strict=True)}
        with torch.no_grad():
            require_equal(network, session.run(None, given), network.module(*examples), "onnxruntime")


ONNX = Exporter("onnx", _files, OPTIONS | {DYNAMIC, "opset"}, takes_weights=True, how_to_run=_how_to_run)
