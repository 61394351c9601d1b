"""Networks as ONNX and as torch.export's programs: without opanas, and with the same output as torch's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from narrow_detector import GENOTYPE, NARROW, export, trained

WITHOUT_OPANAS = """
import sys
import torch

features, expected = torch.load("in.pth", weights_only=True)
program = torch.export.load("network.pt2").module()
for output, wanted in zip(program(*features), expected, strict=True):
    torch.testing.assert_close(output, wanted, rtol=1e-4, atol=1e-4)
assert not [name for name in sys.modules if name.split(".")[0] in ("opanas_cli", "mmdet", "mmcv", "mmengine")]
"""


def maps(height: int, width: int) -> list[torch.Tensor]:
    return [
        torch.randn(1, 8 * 2**level, -(-height // 2 ** (level + 2)), -(-width // 2 ** (level + 2)))
        for level in range(4)
    ]


def test_a_program_of_the_neck_runs_without_opanas(
    genotype: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, weights = trained(genotype, "faster-rcnn", tmp_path)
    output = tmp_path / "network.pt2"
    sizes = ["--image-size", 100, 75]
    assert export("pt2", genotype, output, "faster-rcnn", "--part", "neck", "--weights", weights, *sizes) == 0
    assert f"run it by torch.export.load('{output}').module() in Python" in capsys.readouterr().out
    features = maps(75, 100)
    torch.save((features, list(model.neck(features))), tmp_path / "in.pth")
    process = subprocess.run(
        [sys.executable, "-c", WITHOUT_OPANAS], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr


def test_an_onnx_neck_of_open_sizes(genotype: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    onnx, onnxruntime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    model, weights = trained(genotype, "faster-rcnn", tmp_path)
    output = tmp_path / "neck.onnx"
    assert export("onnx", genotype, output, "faster-rcnn", "--part", "neck", "--weights", weights, "--dynamic") == 0
    assert "onnxruntime.InferenceSession" in capsys.readouterr().out
    written = onnx.load(output)
    assert {node.domain for node in written.graph.node} == {""}
    assert "GridSample" in {node.op_type for node in written.graph.node}
    assert [entry.version for entry in written.opset_import] == [18]
    session = onnxruntime.InferenceSession(output)
    assert [given.name for given in session.get_inputs()] == ["feature0", "feature1", "feature2", "feature3"]
    for size in ((256, 192), (101, 163), (130, 97)):
        features = maps(*size)
        outputs = session.run(None, {f"feature{level}": value.numpy() for level, value in enumerate(features)})
        for value, expected in zip(outputs, model.neck(features), strict=True):
            torch.testing.assert_close(torch.from_numpy(value), expected, rtol=1e-4, atol=1e-4)


def test_weights_of_another_network_are_refused(genotype: Path, tmp_path: Path, refused: object) -> None:
    """These have the same names and shapes: the genotypes differ in a skip connection alone."""
    _, weights = trained(genotype, "faster-rcnn", tmp_path)
    genotype.write_text(GENOTYPE.replace("skip", "none"))
    options = [
        "--dataset",
        "shapes",
        "--detector",
        "faster-rcnn",
        "--weights",
        weights,
        "-o",
        tmp_path / "x.pt2",
        "--part",
        "neck",
    ]
    changed = [*NARROW, "model.test_cfg.rcnn.max_per_img=20"]  # That is not what it is refused for.
    line = refused(3, "export", genotype, "--to", "pt2", *options, "--cfg-options", *changed)  # type: ignore[operator]
    assert "was trained with model.neck.genotype[2] = 'skip_connect', but the export has 'none'" in line
    assert not (tmp_path / "x.pt2").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--to", "pt2", "-o", "x.onnx"], "-o: choose a file that ends in .pt2"),
        (["--to", "pt2"], "-o: choose a file that ends in .pt2"),
        (["--to", "pt2", "-o", "x.pt2", "--opset", "18"], "--opset: is only valid with --to onnx"),
        (["--to", "pt2", "-o", "x.pt2", "--part", "neck", "--nms"], "--nms: is for --part detector"),
        (
            ["--to", "pt2", "-o", "x.pt2", "--image-size", "-5", "0"],
            "Invalid value for '--image-size': -5 is not in the range",
        ),
        (["--to", "dot", "--part", "neck"], "--part: is only valid with --to onnx, pt2"),
    ],
)
def test_contradictions(
    refused: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    dataset = ["--dataset", "shapes"] if "pt2" in options else []
    assert message in refused(2, "export", "fpn", *options, *dataset)  # type: ignore[operator]


def test_without_the_extra(refused: object, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "onnxruntime" else object())
    line = refused(4, "export", "fpn", "--to", "onnx", "-o", tmp_path / "x.onnx")  # type: ignore[operator]
    assert line == "--to onnx needs onnxruntime; `pip install 'opanas[onnx]'` installs all it needs"
