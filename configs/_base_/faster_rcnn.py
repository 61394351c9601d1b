"""Faster R-CNN with the super-net neck of width 112, as the paper searches it (section 4.1.2)."""

_base_ = ["mmdet::_base_/models/faster-rcnn_r50_fpn.py"]

custom_imports = dict(imports=["opanas_cli.detection"], allow_failed_imports=False)

model = dict(
    neck=dict(
        _delete_=True,
        type="OPASuperNet",
        in_channels=[256, 512, 1024, 2048],
        out_channels=112,
        num_outs=5,
        num_nodes=5,
        space="dense",
    ),
    rpn_head=dict(in_channels=112, feat_channels=112),
    roi_head=dict(bbox_roi_extractor=dict(out_channels=112), bbox_head=dict(in_channels=112)),
)
