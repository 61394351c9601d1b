"""Detectors from the image to the boxes: as mmdet finds them, and the same in ONNX's own operators."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from narrow_detector import NARROW, export, trained
from numpy.typing import NDArray
from PIL import Image

from opanas_cli.detection.data.shapes import generate_shapes
from opanas_cli.detection.exporting.detector_config import export_config
from opanas_cli.detection.exporting.image_networks import ImageNetwork, image_network
from opanas_cli.detection.exporting.network import Network
from opanas_cli.detection.scoring.average_precision import GroundTruth, score_population
from opanas_cli.detection.scoring.image_results import Detections, ImageTruth, width_and_height
from opanas_cli.errors import OpanasError
from opanas_cli.exporters.networks import require_equal
from opanas_cli.formats import resolve_genotype

DETECTORS = ("retinanet", "faster-rcnn", "cascade-rcnn")
ODD = (75, 101)


def whole(genotype: Path, model: Any, detector: str, nms: bool) -> ImageNetwork:
    config = export_config(resolve_genotype(genotype), "shapes", detector=detector, overrides=NARROW)
    return image_network(model, config.model.data_preprocessor, nms)


def noise(size: tuple[int, int]) -> torch.Tensor:
    return torch.randint(0, 256, (1, 3, *size), generator=torch.Generator().manual_seed(1)).float()


def found_by_mmdet(model: Any, image: torch.Tensor) -> Any:
    from mmdet.structures import DetDataSample

    size = tuple(image.shape[2:])
    sample = DetDataSample(metainfo=dict(img_shape=size, ori_shape=size, scale_factor=(1, 1)))
    # mmdet's data preprocessor is given BGR.
    return model.test_step({"inputs": [image[0].flip(0)], "data_samples": [sample]})[0].pred_instances


@pytest.mark.parametrize("detector", DETECTORS)
@pytest.mark.parametrize("least", [0.05, 0.999999])
def test_with_suppression_it_finds_what_mmdet_finds(
    genotype: Path, tmp_path: Path, detector: str, least: float
) -> None:
    """All but near ties, with their classes; and nothing where no box scores as high as `test_cfg` demands."""
    model, _ = trained(genotype, detector, tmp_path)
    head = model.bbox_head if detector == "retinanet" else model.roi_head
    head.test_cfg.score_thr = least
    image = noise(ODD)
    expected = found_by_mmdet(model, image)
    assert len(expected) == (100 if least < 0.1 else 0)
    boxes, scores, labels = whole(genotype, model, detector, nms=True)(image)
    count = len(expected)
    assert len(boxes[0]) == 100
    assert not boxes[0, count:].any()
    assert not scores[0, count:].any()
    assert labels[0].unique().tolist() == (expected.labels.unique().tolist() if count else [-1])
    if count:
        network = Network(torch.nn.Identity(), (), (), (), is_ranked=True)
        wanted = [expected.bboxes[None], expected.scores[None], expected.labels[None]]
        require_equal(network, [boxes.numpy(), scores.numpy(), labels.numpy()], wanted, "it")


@pytest.mark.parametrize("detector", DETECTORS)
def test_before_suppression_it_has_the_boxes_that_mmdet_keeps(genotype: Path, tmp_path: Path, detector: str) -> None:
    model, _ = trained(genotype, detector, tmp_path)
    image = noise(ODD)
    boxes, scores = (output[0] for output in whole(genotype, model, detector, nms=False)(image))
    assert boxes.shape == ((len(scores), 3, 4) if detector == "faster-rcnn" else (len(scores), 4))
    found = found_by_mmdet(model, image)
    for box, score, label in zip(found.bboxes[:10], found.scores, found.labels, strict=False):
        own = boxes[:, label] if boxes.ndim == 3 else boxes
        assert ((own - box).abs().amax(dim=1) + (scores[:, label] - score).abs()).min() < 1e-3


@pytest.mark.parametrize(
    ("detector", "opset", "options", "outputs"),
    [
        ("retinanet", 16, ["--image-size", *ODD[::-1], "--nms"], ["boxes", "scores", "labels"]),
        ("cascade-rcnn", 18, ["--image-size", *ODD[::-1]], ["boxes", "scores"]),
    ],
)
def test_an_onnx_detector_of_one_size(
    genotype: Path, tmp_path: Path, detector: str, opset: int, options: list[Any], outputs: list[str]
) -> None:
    onnx, onnxruntime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    genotype.write_text("td\n")  # Necks of more nodes are exported in test_networks.py.
    model, weights = trained(genotype, detector, tmp_path)
    output = tmp_path / "detector.onnx"
    assert export("onnx", genotype, output, detector, "--weights", weights, "--opset", opset, *options) == 0
    written = onnx.load(output)
    assert [(entry.domain, entry.version) for entry in written.opset_import] == [("", opset)]
    kinds = {node.op_type for node in written.graph.node}
    assert ("NonMaxSuppression" in kinds) == (detector != "retinanet" or "--nms" in options)
    assert ("RoiAlign" in kinds) == (detector != "retinanet")
    session = onnxruntime.InferenceSession(output)
    assert json.loads(session.get_modelmeta().custom_metadata_map["classes"]) == ["disk", "square", "triangle"]
    assert [result.name for result in session.get_outputs()] == outputs
    network = whole(genotype, model, detector, "--nms" in options)
    image = noise(ODD)
    ranked = Network(network, (), ("image",), tuple(outputs), network.is_ranked)
    require_equal(ranked, session.run(None, {"image": image.numpy()}), network(image), "onnxruntime")
    openvino = pytest.importorskip("openvino")
    compiled = openvino.compile_model(output, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    require_equal(ranked, list(compiled({"image": image.numpy()}).values()), network(image), "OpenVINO")


def test_the_ap_of_an_onnx_detector_of_open_sizes(genotype: Path, tmp_path: Path) -> None:
    """On generated images of shapes, cut to odd sizes; the objects are what torch finds, a little smaller."""
    onnxruntime = pytest.importorskip("onnxruntime")
    genotype.write_text("td\n")
    model, weights = trained(genotype, "faster-rcnn", tmp_path)
    output = tmp_path / "detector.onnx"
    assert export("onnx", genotype, output, "faster-rcnn", "--weights", weights, "--dynamic", "--nms") == 0
    session = onnxruntime.InferenceSession(output)
    generate_shapes(tmp_path / "shapes", num_train=1, num_val=6)
    names = [
        image["file_name"] for image in json.loads((tmp_path / "shapes/annotations/val.json").read_text())["images"]
    ]
    truths, ours, mmdets = [], [], []
    for number, name in enumerate(names):
        pixels = np.asarray(Image.open(tmp_path / "shapes/val" / name).convert("RGB"), dtype=np.float32)
        image = torch.from_numpy(pixels.transpose(2, 0, 1)[None, :, : 128 - 9 * number, : 128 - 5 * number].copy())
        found = Detections.of(found_by_mmdet(model, image))
        mmdets.append(found)
        boxes, scores, labels = (array[0] for array in session.run(None, {"image": image.numpy()}))
        ours.append(Detections(boxes[labels >= 0], scores[labels >= 0], labels[labels >= 0]))
        truths.append(shrunk(found, number))
    ground = GroundTruth(truths, {"classes": ("circle", "square", "triangle")})
    first, second = score_population([ours, mmdets], ground)
    assert 0.05 < second["AP"] < 0.9
    assert first["AP"] == pytest.approx(second["AP"], abs=1e-3)


LOADED = """
import sys
import torch
import torchvision

program = torch.export.load("detector.pt2").module()
torch.save(program(torch.load("in.pth", weights_only=True)), "out.pth")
assert not [name for name in sys.modules if name.split(".")[0] in ("opanas_cli", "mmdet", "mmcv", "mmengine")]
"""


def test_a_program_of_a_detector_runs_without_opanas(
    genotype: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    genotype.write_text("td\n")
    model, weights = trained(genotype, "faster-rcnn", tmp_path)
    options = ["--weights", weights, "--image-size", *ODD[::-1], "--nms"]
    assert export("pt2", genotype, tmp_path / "detector.pt2", "faster-rcnn", *options) == 0
    assert ".module() in Python, after import torchvision" in capsys.readouterr().out
    image = noise(ODD)
    torch.save(image, tmp_path / "in.pth")
    process = subprocess.run([sys.executable, "-c", LOADED], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    expected = whole(genotype, model, "faster-rcnn", nms=True)(image)
    outputs = [output.numpy() for output in torch.load(tmp_path / "out.pth", weights_only=True)]
    require_equal(Network(torch.nn.Identity(), (), (), (), is_ranked=True), outputs, expected, "it")


def shrunk(found: Detections, seed: int) -> ImageTruth:
    """Ten of the objects that were found, with sides that are up to a third smaller."""
    random = np.random.default_rng(seed)
    chosen = random.choice(20, 10, replace=False)  # The first are the best.
    boxes: NDArray[Any] = width_and_height(found.boxes[chosen]).astype(np.float64)
    boxes[:, 2:] *= random.uniform(0.67, 1, (10, 2))
    return ImageTruth(boxes, found.labels[chosen], np.zeros(10, bool), boxes[:, 2] * boxes[:, 3])


def test_other_boxes_are_not_equal() -> None:
    """Rounding may swap two, or replace one in twenty; more is an error, and so is anything that is not a number."""
    boxes, scores = torch.rand(1, 40, 4), torch.rand(1, 40)
    network = Network(torch.nn.Identity(), (), ("image",), ("boxes", "scores"), is_ranked=True)
    swapped = torch.arange(40)
    swapped[:2] = torch.tensor([1, 0])
    require_equal(network, [boxes[:, swapped].numpy(), scores[:, swapped].numpy()], [boxes, scores], "it")
    for count, value in ((3, 0.5), (1, float("nan"))):
        others = boxes.numpy().copy()
        others[0, :count] += value
        with pytest.raises(OpanasError, match="it: its output differs from torch's"):
            require_equal(network, [others, scores.numpy()], [boxes, scores], "it")


@pytest.mark.parametrize(
    ("detector", "options", "message"),
    [
        ("retinanet", ["--part", "neck", "--nms"], "--nms: is for --part detector; a neck has no boxes"),
        (
            "cascade-rcnn",
            ["--nms", "--cfg-options", "model.test_cfg.rcnn.nms.type=soft_nms"],
            "--part detector: the R-CNN suppresses boxes by",
        ),
        (
            "faster-rcnn",
            ["--cfg-options", "model.roi_head.bbox_roi_extractor.roi_layer.pool_mode=max"],
            "only RetinaNet, Faster R-CNN and Cascade R-CNN with mmdet's usual heads are exported whole",
        ),
    ],
)
def test_what_cannot_be_exported(
    refused: Any, genotype: Path, tmp_path: Path, detector: str, options: list[str], message: str
) -> None:
    target = ["--to", "pt2", "--dataset", "shapes", "--detector", detector, "-o", str(tmp_path / "x.pt2")]
    assert message in refused(2, "export", genotype, *target, *options)
    assert not (tmp_path / "x.pt2").exists()
