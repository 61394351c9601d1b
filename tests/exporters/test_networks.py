"""Networks as ONNX and as torch.export's programs: without opanas, and with the same output as torch's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from opanas_cli.commands import run
from opanas_cli.detection.checkpoints import write_checkpoint
from opanas_cli.detection.configs.building import build_detector
from opanas_cli.detection.exporting.detector_config import export_config
from opanas_cli.detection.exporting.network import DenseNetwork
from opanas_cli.formats import resolve_genotype

NARROW = (
    "model.backbone.base_channels=8",
    "model.backbone.stem_channels=8",
    "model.neck.in_channels=[8,16,32,64]",
    "model.neck.out_channels=8",
    "model.neck.deformable=True",
)
GENOTYPE = "none|td,skip|fs,bu,se\n"
"""All information paths, in few enough convolutions to be exported in seconds."""

WITHOUT_OPANAS = """
import sys
import torch

features, expected = torch.load("in.pth", weights_only=True)
program = torch.export.load("network.pt2").module()
for output, wanted in zip(program(*features), expected, strict=True):
    torch.testing.assert_close(output, wanted, rtol=1e-4, atol=1e-4)
assert not [name for name in sys.modules if name.split(".")[0] in ("opanas_cli", "mmdet", "mmcv", "mmengine")]
"""


@pytest.fixture
def genotype(tmp_path: Path) -> Path:
    file = tmp_path / "genotype.txt"
    file.write_text(GENOTYPE)
    return file


def trained(genotype: Path, detector: str, folder: Path) -> tuple[torch.nn.Module, Path]:
    """A detector with weights that move the offsets, and its checkpoint as `retrain` writes it."""
    config = export_config(resolve_genotype(genotype), "shapes", detector=detector, overrides=NARROW)
    torch.manual_seed(0)
    model = build_detector(config).eval().requires_grad_(False)
    for parameter in model.neck.parameters():
        parameter += 0.05 * torch.randn_like(parameter)
    weights = folder / "detector.pth"
    write_checkpoint({"state_dict": model.state_dict(), "meta": {"config": config.pretty_text}}, weights)
    return model, weights


def export(form: str, genotype: Path, output: Path, detector: str, *more: object) -> int:
    options = ["--to", form, "--dataset", "shapes", "--detector", detector, "-o", output, *more]
    return run(["export", str(genotype), *map(str, options), "--cfg-options", *NARROW])


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
    sizes = ["--size", 75, 100]
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


def test_a_whole_retinanet_gives_the_boxes_of_mmdet(genotype: Path, tmp_path: Path) -> None:
    """The boxes that mmdet keeps, in a test of an odd size, are among ours, with their scores."""
    model, _ = trained(genotype, "retinanet", tmp_path)
    config = export_config(resolve_genotype(genotype), "shapes", detector="retinanet", overrides=NARROW)
    whole = DenseNetwork(model, config.model.data_preprocessor).eval()
    image = torch.randint(0, 256, (1, 3, 75, 101)).float()
    boxes, scores = (output[0] for output in whole(image))

    from mmdet.structures import DetDataSample

    sample = DetDataSample(metainfo=dict(img_shape=(75, 101), ori_shape=(75, 101), scale_factor=(1, 1)))
    model.test_cfg.score_thr = model.bbox_head.test_cfg.score_thr = 0.0
    # mmdet's data preprocessor is given BGR.
    found = model.test_step({"inputs": [image[0].flip(0)], "data_samples": [sample]})[0].pred_instances
    assert len(found.bboxes) > 10
    for box, score, label in zip(found.bboxes[:10], found.scores, found.labels, strict=False):
        near = (boxes - box).abs().amax(dim=1) + (scores[:, label] - score).abs()
        assert near.min() < 1e-3


def test_a_whole_onnx_retinanet(genotype: Path, tmp_path: Path) -> None:
    onnx, onnxruntime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    model, weights = trained(genotype, "retinanet", tmp_path)
    output = tmp_path / "detector.onnx"
    assert export("onnx", genotype, output, "retinanet", "--weights", weights, "--size", 75, 101, "--opset", 16) == 0
    assert [entry.version for entry in onnx.load(output).opset_import] == [16]
    config = export_config(resolve_genotype(genotype), "shapes", detector="retinanet", overrides=NARROW)
    image = torch.randint(0, 256, (1, 3, 75, 101)).float()
    session = onnxruntime.InferenceSession(output)
    assert [result.name for result in session.get_outputs()] == ["boxes", "scores"]
    outputs = session.run(None, {"image": image.numpy()})
    for value, expected in zip(outputs, DenseNetwork(model, config.model.data_preprocessor).eval()(image), strict=True):
        torch.testing.assert_close(torch.from_numpy(value), expected, rtol=1e-4, atol=1e-2)


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
    line = refused(3, "export", genotype, "--to", "pt2", *options, "--cfg-options", *NARROW)  # type: ignore[operator]
    assert "was trained with model.neck.genotype[2] = 'skip_connect', but the export has 'none'" in line
    assert not (tmp_path / "x.pt2").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--to", "pt2", "-o", "x.onnx"], "-o: choose a file that ends in .pt2"),
        (["--to", "pt2"], "-o: choose a file that ends in .pt2"),
        (["--to", "pt2", "-o", "x.pt2", "--opset", "18"], "--opset: is only valid with --to onnx"),
        (["--to", "pt2", "-o", "x.pt2"], "--part detector: only RetinaNet is exported whole, but this is FasterRCNN"),
        (["--to", "pt2", "-o", "x.pt2", "--size", "-5", "0"], "Invalid value for '--size': -5 is not in the range"),
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
