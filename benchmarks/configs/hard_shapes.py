"""Hard shapes for the ground truth: necks of two nodes in a detector whose other parts are trained already."""

_base_ = ["../../configs/shapes.py"]

data_root = "runs/ground-truth/data/"
classes = ("disk", "square", "triangle", "diamond", "ring", "frame", "plus", "half")
# An FPN detector, written by benchmarks/ground_truth.py. Its backbone stays as it is; its heads are trained on.
start = "runs/ground-truth/start.pth"

model = dict(
    backbone=dict(
        frozen_stages=4,
        norm_eval=True,
        init_cfg=dict(_delete_=True, type="Pretrained", checkpoint=start, prefix="backbone."),
    ),
    neck=dict(num_nodes=2),
    rpn_head=dict(init_cfg=dict(type="Pretrained", checkpoint=start, prefix="rpn_head.")),
    roi_head=dict(
        # Boxes of 8 pixels are those of the finest level, as 32 pixels are for mmdet's 56: each level has its boxes.
        bbox_roi_extractor=dict(finest_scale=14),
        # One box for all classes: it is learnt from all objects, so training comes near its end sooner.
        bbox_head=dict(
            num_classes=8,
            reg_class_agnostic=True,
            init_cfg=dict(type="Pretrained", checkpoint=start, prefix="roi_head.bbox_head."),
        ),
    ),
    train_cfg=dict(rpn_proposal=dict(nms_pre=100, max_per_img=64)),
    test_cfg=dict(rpn=dict(nms_pre=100)),
)

# Many small steps: twice as many images a step reach half the AP from as many images.
supernet = dict(epochs=8, batch_size=2)
retrain = dict(epochs=4, milestones=(3,), batch_size=2)

# The splits have their own data_root in the config that this one is based on.
train_dataloader = dict(dataset=dict(data_root=data_root, metainfo=dict(classes=classes)))
val_dataloader = dict(batch_size=16, dataset=dict(data_root=data_root, metainfo=dict(classes=classes)))
test_dataloader = val_dataloader
