"""mmdet's own detectors, made small, train and predict on the stand-ins."""

from pathlib import Path
from typing import Any

import mmdet
import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine import Config, ConfigDict
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData

BASES = Path(mmdet.__file__).parent / ".mim" / "configs" / "_base_" / "models"
DCN = {"type": "DCN", "deform_groups": 1, "fallback_on_stride": False}
DCN_V2 = {"type": "DCNv2", "deform_groups": 1, "fallback_on_stride": False}
STAGES = (False, True, True, True)
SOFT_NMS = {"type": "soft_nms", "iou_threshold": 0.5}


def small(node: Any) -> Any:
    """The model config with 8 channels and three classes."""
    if isinstance(node, dict):
        sizes = {"in_channels": 8, "feat_channels": 8, "out_channels": 8, "fc_out_channels": 8, "num_classes": 3}
        return {
            key: sizes[key] if isinstance(value, int) and key in sizes else small(value) for key, value in node.items()
        }
    return [small(item) for item in node] if isinstance(node, list) else node


def build(name: str, *, dcn: dict[str, Any] | None = None, nms: dict[str, Any] | None = None) -> torch.nn.Module:
    config = small(Config.fromfile(BASES / f"{name}.py").model.to_dict())
    config["backbone"] |= {"base_channels": 8, "stem_channels": 8, "init_cfg": None}
    config["neck"]["in_channels"] = [32, 64, 128, 256]
    if dcn:
        config["backbone"] |= {"dcn": dcn, "stage_with_dcn": STAGES}
    if nms:
        config["test_cfg"]["rcnn"]["nms"] = nms
    with DefaultScope.overwrite_default_scope("mmdet"):
        return MODELS.build(ConfigDict(config))


def batch(device: torch.device) -> dict[str, Any]:
    samples = []
    for boxes, labels in (
        ([[4.0, 6.0, 40.0, 50.0], [30.0, 20.0, 60.0, 62.0]], [0, 2]),
        ([[8.0, 8.0, 32.0, 32.0]], [1]),
    ):
        sample = DetDataSample(metainfo={"img_shape": (64, 64), "ori_shape": (64, 64), "scale_factor": (1.0, 1.0)})
        sample.gt_instances = InstanceData(bboxes=torch.tensor(boxes), labels=torch.tensor(labels))
        samples.append(sample.to(device))
    generator = torch.Generator().manual_seed(0)
    images = [torch.randint(0, 256, (3, 64, 64), generator=generator, dtype=torch.uint8).to(device) for _ in samples]
    return {"inputs": images, "data_samples": samples}


@pytest.mark.parametrize("autocast", [False, True], ids=["float32", "autocast"])
@pytest.mark.parametrize(
    "name, options",
    [
        ("faster-rcnn_r50_fpn", {"dcn": DCN_V2}),
        ("faster-rcnn_r50_fpn", {"dcn": DCN}),
        ("cascade-rcnn_r50_fpn", {"nms": SOFT_NMS}),
        ("retinanet_r50_fpn", {}),
    ],
    ids=["faster-rcnn-dcnv2", "faster-rcnn-dcn", "cascade-rcnn-soft-nms", "retinanet"],
)
def test_trains_a_step_and_predicts(device: torch.device, name: str, options: dict[str, Any], autocast: bool) -> None:
    torch.manual_seed(0)
    model = build(name, **options).to(device)
    model.train()
    data = model.data_preprocessor(batch(device), training=True)
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=autocast):
        losses = model(**data, mode="loss")
    total, _ = model.parse_losses(losses)
    total.backward()
    assert total.isfinite()
    untouched = [key for key, value in model.named_parameters() if value.requires_grad and value.grad is None]
    assert not untouched
    assert all(value.grad.isfinite().all() for value in model.parameters() if value.grad is not None)
    if "dcn" in options:
        assert model.backbone.layer2[0].conv2.conv_offset.weight.grad.any()

    model.eval()
    with torch.no_grad(), torch.autocast(device.type, dtype=torch.bfloat16, enabled=autocast):
        predictions = model(**model.data_preprocessor(batch(device)), mode="predict")
    assert len(predictions) == 2
    assert all(sample.pred_instances.bboxes.shape[1] == 4 for sample in predictions)
    assert any(len(sample.pred_instances) for sample in predictions)
    assert all(sample.pred_instances.scores.isfinite().all() for sample in predictions)
