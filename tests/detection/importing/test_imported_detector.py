"""Released checkpoints, made here as their layout says, against the neck written again in their own names."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from tiny_config import options_of
from torch import Tensor
from torch.nn import functional as F

from opanas_cli.detection.configs.building import build_detector
from opanas_cli.detection.configs.files import load_config
from opanas_cli.detection.exporting.detector_config import export_config
from opanas_cli.detection.importing.imported_detector import ImportedDetector, import_detector
from opanas_cli.detection.importing.released_names import released_weights
from opanas_cli.errors import InvalidCheckpointError, InvalidGenotypeError
from opanas_cli.formats import resolve_genotype
from opanas_cli.genotype import Genotype

OPA_FPN = resolve_genotype("opa-fpn")
PATHS = ["TD", "TD", "TD", "FS", "none", "skip", "BU", "skip", "none", "TD", "BU", "none", "FS", "SE", "BU"]
"""The released genotype, edge by edge as it was published."""
WIDTH = 8
CHANNELS = [8, 16, 32, 64]
DETECTORS = ("faster-rcnn", "cascade-rcnn", "retinanet")


def released_neck_weights(retina: bool, width: int = WIDTH) -> dict[str, Tensor]:
    """Weights of the released neck by its names, each value another one."""
    state: dict[str, Tensor] = {}
    generator = torch.Generator().manual_seed(0)

    def conv(name: str, outputs: int, inputs: int, side: int) -> None:
        state[f"{name}.weight"] = torch.randn(outputs, inputs, side, side, generator=generator) * 0.1
        state[f"{name}.bias"] = torch.randn(outputs, generator=generator)

    def deformable(name: str, inputs: int) -> None:
        conv(name, width, inputs, 3)
        conv(f"{name}.conv_offset", 18, inputs, 3)

    for level, inputs in enumerate(CHANNELS[1:] if retina else CHANNELS):
        conv(f"lateral_convs.{level}.conv", width, inputs, 1)
    conv("topcontext.0.conv", width, width, 1)
    for extra in range(2 if retina else 0):
        conv(f"fpn_convs.{extra}.conv", width, width, 3)
    for edge, path in enumerate(PATHS):
        modules = {"TD": ("tdm_convs", 4), "BU": ("bun_convs", 4), "SE": ("Pconv", 3), "FS": ("fuse", 1)}
        name, count = modules.get(path, ("", 0))
        for index in range(count):
            deformable(f"features.{edge}.{name}.{index}", 2 * width if path == "FS" else width)
        if path == "FS":
            fuse = f"features.{edge}.fuse."
            state |= {key.replace("fuse.0", "fuse.1"): state[key] for key in list(state) if key.startswith(fuse)}
    return {f"neck.{name}": value for name, value in state.items()}


def released_neck(state: dict[str, Tensor], features: list[Tensor], retina: bool) -> list[Tensor]:
    """What the released neck computes, by its own names, of images whose sides are multiples of 32."""

    def conv(name: str, level: Tensor, stride: int = 1, plain: bool = True) -> Tensor:
        weight, bias = state[f"neck.{name}.weight"], state[f"neck.{name}.bias"]
        side = weight.shape[2]
        if plain:
            return F.conv2d(level, weight, bias, stride, padding=side // 2)
        offset = conv(f"{name}.conv_offset", level, stride)
        return torchvision.ops.deform_conv2d(level, offset, weight, bias, stride=stride, padding=1)

    def up(level: Tensor, like: Tensor) -> Tensor:
        return F.interpolate(level, size=like.shape[2:], mode="nearest")

    def run(edge: int, path: str, p: list[Tensor]) -> list[Tensor]:
        name, f = f"features.{edge}", list(p)
        if path == "TD":
            f[3] = conv(f"{name}.tdm_convs.3", p[3], plain=False)
            for i in (2, 1, 0):
                f[i] = conv(f"{name}.tdm_convs.{i}", p[i] + up(f[i + 1], p[i]), plain=i == 0)
        if path == "BU":
            f[0] = conv(f"{name}.bun_convs.0", p[0])
            for i in (1, 2, 3):
                f[i] = conv(f"{name}.bun_convs.{i}", p[i] + F.max_pool2d(f[i - 1], 2), plain=False)
        if path == "SE":
            for i in range(4):
                f[i] = conv(f"{name}.Pconv.1", p[i], plain=i == 0)
                if i < 3:
                    f[i] = f[i] + up(conv(f"{name}.Pconv.0", p[i + 1], plain=i == 0), p[i])
                if i > 0:
                    f[i] = f[i] + up(conv(f"{name}.Pconv.2", p[i - 1], stride=2, plain=False), p[i])
                f[i] = F.relu(f[i])
        if path == "FS":
            fine, coarse = F.max_pool2d(p[0], 2) + p[1], up(p[3], p[2]) + p[2]
            f[1] = conv(f"{name}.fuse.0", torch.cat([fine, up(coarse, fine)], dim=1), plain=False)
            f[2] = conv(f"{name}.fuse.1", torch.cat([F.max_pool2d(fine, 2), coarse], dim=1), plain=False)
            f[0], f[3] = up(f[1], p[0]), F.max_pool2d(f[2], 2)
        return f

    pyramid = [conv(f"lateral_convs.{i}.conv", level) for i, level in enumerate(features[1:] if retina else features)]
    if retina:
        pyramid.append(conv("fpn_convs.0.conv", pyramid[-1], stride=2))
    context = F.adaptive_avg_pool2d(conv("topcontext.0.conv", pyramid[3]), 1)
    nodes, edge = [[*pyramid[:3], pyramid[3] + context]], 0
    for target in range(1, 6):
        node = [torch.zeros_like(level) for level in pyramid]
        for source in range(target):
            if PATHS[edge] != "none":
                node = [a + b for a, b in zip(node, run(edge, PATHS[edge], nodes[source]), strict=True)]
            edge += 1
        nodes.append(node)
    outputs = [sum(node[i] for node in nodes[1:]) for i in range(4)]
    extra = conv("fpn_convs.1.conv", outputs[3], stride=2) if retina else F.max_pool2d(outputs[3], 1, stride=2)
    return [*outputs, extra]


@pytest.fixture
def dataset(shapes_root: Path, tmp_path: Path) -> str:
    """A config of generated images whose neck has norms, which the released one has not."""
    file = tmp_path / "data.py"
    config = load_config("shapes", (*options_of("faster-rcnn"), f"data_root={shapes_root}"))
    for name in ("norm_cfg", "output_norm_cfg"):
        config.model.neck[name] = dict(type="GN", num_groups=1)
    file.write_text(config.pretty_text)
    return str(file)


def checkpoint(dataset: str, detector: str, **changed: Tensor | None) -> dict[str, Any]:
    """A file as mmdet 2 writes it: other values in each tensor outside of the neck, too."""
    given = None if detector == "faster-rcnn" else detector
    config = export_config(Genotype.of(["skip_connect"]), dataset, given, channels=WIDTH)
    torch.manual_seed(1)
    state = {name: torch.rand_like(value.float()) for name, value in build_detector(config).state_dict().items()}
    state = {name: value for name, value in state.items() if not name.startswith("neck.")}
    state |= {**released_neck_weights(detector == "retinanet"), **changed}
    meta = {"mmdet_version": "2.4.0+unknown", "CLASSES": ("disk",), "epoch": 12, "hook_msgs": {}}
    tensors = OrderedDict((name, value) for name, value in state.items() if value is not None)
    return {"meta": meta, "state_dict": tensors, "optimizer": {"state": {}, "param_groups": [{"lr": 0.02}]}}


def imported(content: Any, dataset: str, folder: Path, genotype: Genotype = OPA_FPN, **how: Any) -> ImportedDetector:
    file = folder / "released.pth"
    torch.save(content, file, **how)
    return import_detector(file, genotype, dataset)


@pytest.mark.parametrize("detector", DETECTORS)
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before torch 1.6"])
def test_every_value_lands_where_it_should(dataset: str, tmp_path: Path, detector: str, zipped: bool) -> None:
    content = checkpoint(dataset, detector)
    found = imported(content, dataset, tmp_path, _use_new_zipfile_serialization=zipped)
    assert found.differences == []
    assert found.facts["detector"] == detector
    assert (found.facts["backbone"], found.facts["channels"]) == (None, WIDTH)
    offsets = [f"neck.features.{e}.{'tdm' if PATHS[e] == 'TD' else 'bun'}_convs.0.conv_offset" for e in (0, 1, 2)]
    assert all(f"{name}.weight" in found.unused for name in offsets)
    assert len(found.unused) == 14 + 8
    old, new = content["state_dict"], found.content["state_dict"]
    neck = {name for name in new if name.startswith("neck.")}
    assert (len(neck), len([name for name in old if name.startswith("neck.")])) == (
        (130, 152) if detector == "retinanet" else (128, 150)
    )
    assert all(value.equal(old[name]) for name, value in new.items() if name not in neck)
    assert new["neck.paths.0_2.top_down.convs.3.conv_offset.bias"].equal(
        old["neck.features.1.tdm_convs.3.conv_offset.bias"]
    )
    assert found.content["meta"]["dataset_meta"] == {"classes": ["disk", "square", "triangle"]}

    model = build_detector(found.config)
    model.load_state_dict(new)
    generator = torch.Generator().manual_seed(2)
    features = [torch.randn(2, count, 32 // 2**i, 48 // 2**i, generator=generator) for i, count in enumerate(CHANNELS)]
    with torch.no_grad():
        ours, theirs = model.neck(features), released_neck(old, features, detector == "retinanet")
    assert len(ours) == len(theirs) == 5
    for a, b in zip(ours, theirs, strict=True):
        assert a.shape == b.shape
        assert float((a - b).abs().max()) <= 1e-5 * float(b.abs().max())


def test_fusing_splitting_with_two_convolutions(dataset: str, tmp_path: Path) -> None:
    other = torch.ones(WIDTH)
    found = imported(checkpoint(dataset, "faster-rcnn", **{"neck.features.12.fuse.1.bias": other}), dataset, tmp_path)
    assert found.differences == []
    assert found.config.model.neck.share_fusing is False
    state = found.content["state_dict"]
    assert state["neck.paths.2_5.fusing_splitting.convs.1.bias"].equal(other)
    first, second = (state[f"neck.paths.0_3.fusing_splitting.convs.{index}.weight"] for index in (0, 1))
    assert first.equal(second)


def test_every_difference_is_named(dataset: str, tmp_path: Path) -> None:
    changes = {
        "neck.features.13.Pconv.2.bias": None,
        "neck.features.13.Pconv.3.bias": torch.zeros(WIDTH),
        "neck.features.15.tdm_convs.1.bias": torch.zeros(WIDTH),
        "neck.lateral_convs.0.conv.weight": torch.zeros(WIDTH, 3, 1, 1),
        "backbone.layer4.2.conv1.weight": torch.zeros(1),
        "neck.input_pyramid.context.bias": torch.zeros(WIDTH),
    }
    found = imported(checkpoint(dataset, "faster-rcnn", **changes), dataset, tmp_path)
    assert sorted(found.differences) == [
        "backbone.layer4.2.conv1.weight: is not in the detector",
        "neck.features.13.Pconv.3.bias: has no counterpart in the released neck",
        "neck.features.15.tdm_convs.1.bias: has no counterpart in the released neck",
        "neck.input_pyramid.context.bias: has no counterpart in the released neck",
        f"neck.lateral_convs.0.conv.weight: has shape ({WIDTH}, 3, 1, 1), but the detector's ({WIDTH}, 8, 1, 1)",
        "neck.paths.3_5.scale_equalizing.from_finer.bias: is missing",
    ]


def test_another_genotype_does_not_fit(dataset: str, tmp_path: Path) -> None:
    genotype = Genotype.of([*OPA_FPN.paths[:14], "top_down"])
    lines = imported(checkpoint(dataset, "faster-rcnn"), dataset, tmp_path, genotype).differences
    assert len([line for line in lines if line.startswith("neck.features.14.bun_convs.") and "is not in" in line]) == 14
    assert len([line for line in lines if line.startswith("neck.paths.4_5.top_down.") and "is missing" in line]) == 14


def test_a_dead_edge_with_weights_is_refused(dataset: str, tmp_path: Path) -> None:
    """The released neck runs it on zeros and adds its biases, which ours does not."""
    dead = Genotype.of(["none" if index == 0 else path for index, path in enumerate(OPA_FPN.paths)])
    lines = imported(checkpoint(dataset, "faster-rcnn"), dataset, tmp_path, dead).differences
    assert any(line.startswith("neck.features.2.tdm_convs.1.weight: is not in the detector") for line in lines)


@pytest.mark.parametrize(
    ("detector", "backbone"), [("faster-rcnn", "r50"), ("cascade-rcnn", "res2net101-dcn"), ("retinanet", "x101-64x4d")]
)
def test_the_published_detectors_are_recognised(tmp_path: Path, detector: str, backbone: str) -> None:
    config = export_config(OPA_FPN, "coco", detector, backbone, WIDTH)
    with torch.device("meta"):
        own = build_detector(config).state_dict()
    state = {name: torch.zeros(()).expand(value.shape) for name, value in own.items() if not name.startswith("neck.")}
    neck = released_neck_weights(detector == "retinanet")
    wide = [256, 512, 1024, 2048][detector == "retinanet" :]
    neck |= {f"neck.lateral_convs.{i}.conv.weight": torch.zeros(WIDTH, n, 1, 1) for i, n in enumerate(wide)}
    found = imported({"state_dict": {**state, **neck}}, "coco", tmp_path)
    assert found.differences == []
    assert (found.facts["detector"], found.facts["backbone"]) == (detector, None if backbone == "r50" else backbone)


def test_what_is_no_released_detector_is_refused(dataset: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidCheckpointError, match="is not a detector with the released neck: it needs"):
        imported({"state_dict": {"weight": torch.zeros(3)}}, dataset, tmp_path)
    with pytest.raises(InvalidCheckpointError, match="has no state_dict of tensors"):
        imported({"state_dict": {"weight": 3}}, dataset, tmp_path)
    with pytest.raises(InvalidGenotypeError, match="the released neck is dense"):
        import_detector(tmp_path / "released.pth", Genotype.of(["top_down"] * 15, "chain"), dataset)


def test_what_could_run_code_is_refused_by_its_name(dataset: str, tmp_path: Path) -> None:
    np = pytest.importorskip("numpy")
    content = checkpoint(dataset, "faster-rcnn")
    content["meta"]["hook_msgs"] = {"best_score": np.float64(0.4)}
    with pytest.raises(InvalidCheckpointError, match=r"plain data \(numpy\._?core\.multiarray\.scalar\), and is"):
        imported(content, dataset, tmp_path)


def test_names_outside_of_the_neck_stay() -> None:
    state = {"backbone.conv1.weight": torch.zeros(1), "bbox_head.retina_cls.bias": torch.zeros(1)}
    assert list(released_weights(state, OPA_FPN).weights) == list(state)
