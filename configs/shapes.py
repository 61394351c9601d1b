"""The quickstart: generated shapes, a small detector from scratch, minutes on two cores."""

_base_ = ["_base_/small_faster_rcnn.py", "_base_/pipelines.py", "_base_/runtime.py"]

data_root = "runs/quickstart/data/"
classes = ("disk", "square", "triangle")

# Three nodes instead of the paper's five: a space of 6**6 genotypes, whose super-net learns in a minute.
model = dict(neck=dict(num_nodes=3), roi_head=dict(bbox_head=dict(num_classes=3)))

# From scratch, in so few steps, AdamW gets much further than the SGD of the paper.
schedule = dict(
    image_scale=(128, 128),
    batch_size=4,
    optimizer="AdamW",
    lr=0.001,
    weight_decay=0.01,
    warmup_iters=20,
    grad_clip=10.0,
)
supernet = dict(search_split=0.15, sampling="all", epochs=2, milestones=(), **schedule)
search = dict(population=12, generations=2, top_k=4)
retrain = dict(epochs=4, milestones=(3,), **schedule)
del schedule
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
