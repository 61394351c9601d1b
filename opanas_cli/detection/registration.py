"""Registers our necks, data sets and metric with mmdet. What trains registers itself when it is imported."""

from mmdet.registry import DATASETS, METRICS, MODELS

from opanas_cli.detection.data.coco_part import CocoPart
from opanas_cli.detection.data.held_out_pairs import HeldOutPairs
from opanas_cli.detection.data.image_subset import image_subset
from opanas_cli.detection.data.voc_folder import VOCFolder, leave_out_empty_boxes
from opanas_cli.detection.data.yolo_folder import YOLOFolder
from opanas_cli.detection.scoring.average_precision import DetectionAP
from opanas_cli.necks.bifpn import BiFPN
from opanas_cli.necks.opa_fpn import OPAFPN
from opanas_cli.necks.super_net import OPASuperNet

for neck in (OPAFPN, OPASuperNet, BiFPN):
    MODELS.register_module(module=neck, force=True)
DATASETS.register_module("ImageSubset", module=image_subset, force=True)
DATASETS.register_module(module=HeldOutPairs, force=True)
for dataset in (VOCFolder, YOLOFolder, CocoPart):
    DATASETS.register_module(module=dataset, force=True)
leave_out_empty_boxes()
METRICS.register_module(module=DetectionAP, force=True)
