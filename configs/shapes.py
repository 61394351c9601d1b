"""The quickstart's config: generated shapes, ResNet-18 from scratch, a neck of width 32, minutes on two cores."""

_base_ = ["_base_/faster_rcnn.py", "_base_/pipelines.py", "_base_/runtime.py"]

data_root = "runs/quickstart/data/"
classes = ("disk", "square", "triangle")

model = dict(
    data_preprocessor=dict(pad_size_divisor=32),
    backbone=dict(depth=18, frozen_stages=-1, norm_eval=False, init_cfg=None),
    neck=dict(in_channels=[64, 128, 256, 512], out_channels=32),
    rpn_head=dict(in_channels=32, feat_channels=32, anchor_generator=dict(scales=[4])),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=32),
        bbox_head=dict(in_channels=32, fc_out_channels=128, num_classes=3),
    ),
    train_cfg=dict(
        rpn_proposal=dict(nms_pre=500, max_per_img=128),
        rcnn=dict(sampler=dict(num=64)),
    ),
    test_cfg=dict(rpn=dict(nms_pre=300, max_per_img=100)),
)

supernet = dict(
    image_scale=(128, 128),
    search_split=0.15,
    batch_size=8,
    epochs=1,
    lr=0.02,
    milestones=(),
    warmup_iters=20,
    grad_clip=10.0,
)
search = dict(population=12, generations=2, top_k=4)
retrain = dict(
    image_scale=(128, 128), batch_size=8, epochs=3, lr=0.02, milestones=(2,), warmup_iters=20, grad_clip=10.0
)
cost_input = (128, 128)

default_hooks = dict(checkpoint=dict(interval=1, max_keep_ckpts=1))

train_dataloader = dict(
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(
        type="CocoDataset",
        data_root=data_root,
        metainfo=dict(classes=classes),
        ann_file="annotations/train.json",
        data_prefix=dict(img="train/"),
        filter_cfg=dict(filter_empty_gt=True),
        pipeline={{_base_.train_pipeline}},
    ),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="CocoDataset",
        data_root=data_root,
        metainfo=dict(classes=classes),
        ann_file="annotations/val.json",
        data_prefix=dict(img="val/"),
        test_mode=True,
        pipeline={{_base_.test_pipeline}},
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="DetectionAP", ann_file="annotations/val.json")
test_evaluator = val_evaluator
