"""A Faster R-CNN that learns from scratch on a CPU: a narrow ResNet-18 without pre-training, a normalised neck."""

_base_ = ["normalised_faster_rcnn.py"]

model = dict(
    backbone=dict(depth=18, base_channels=32, frozen_stages=-1, norm_eval=False, init_cfg=None),
    neck=dict(in_channels=[32, 64, 128, 256], out_channels=32),
    # Boxes of 8 pixels on the finest level: images are small.
    rpn_head=dict(in_channels=32, feat_channels=32, anchor_generator=dict(scales=[2])),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=32),
        bbox_head=dict(in_channels=32, fc_out_channels=128),
    ),
    train_cfg=dict(rpn_proposal=dict(nms_pre=500, max_per_img=128), rcnn=dict(sampler=dict(num=64))),
    test_cfg=dict(rpn=dict(nms_pre=300, max_per_img=100)),
)
