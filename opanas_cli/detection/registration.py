"""Makes mmdet know our necks, data sets, metric and wrappers by name."""

from mmdet.registry import DATASETS, METRICS, MODELS
from mmengine.registry import MODEL_WRAPPERS, OPTIM_WRAPPERS

from opanas_cli.detection.data.image_subset import image_subset
from opanas_cli.detection.data.voc_folder import VOCFolder, leave_out_empty_boxes
from opanas_cli.detection.processes.replicas import DetectorReplica, SuperNetReplica
from opanas_cli.detection.scoring.average_precision import DetectionAP
from opanas_cli.detection.training.mixed_precision import CpuAmpOptimWrapper
from opanas_cli.detection.training.super_net_detector import SuperNetDetector
from opanas_cli.necks.opa_fpn import OPAFPN
from opanas_cli.necks.super_net import OPASuperNet

for model in (OPAFPN, OPASuperNet, SuperNetDetector):
    MODELS.register_module(module=model, force=True)
DATASETS.register_module("ImageSubset", module=image_subset, force=True)
DATASETS.register_module(module=VOCFolder, force=True)
leave_out_empty_boxes()
for wrapper in (DetectorReplica, SuperNetReplica):
    MODEL_WRAPPERS.register_module(module=wrapper, force=True)
OPTIM_WRAPPERS.register_module(module=CpuAmpOptimWrapper, force=True)
METRICS.register_module(module=DetectionAP, force=True)
