"""PASCAL VOC by the paper's protocol: 2007 + 2012 trainval at 384×384 for the super-net, 2007 test for the result."""

_base_ = ["_base_/faster_rcnn.py", "_base_/pipelines.py", "_base_/runtime.py"]

data_root = "data/VOCdevkit/"

model = dict(roi_head=dict(bbox_head=dict(num_classes=20)))

supernet = dict(image_scale=(384, 384))
search = dict(metric="VOC_AP50")
retrain = dict(image_scale=(1000, 600))

train_dataloader = dict(
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    batch_sampler=dict(type="AspectRatioBatchSampler"),
    dataset=dict(
        type="ConcatDataset",
        # The two years differ in this key only.
        ignore_keys=["dataset_type"],
        datasets=[
            dict(
                type="VOCDataset",
                data_root=data_root,
                ann_file="VOC2007/ImageSets/Main/trainval.txt",
                data_prefix=dict(sub_data_root="VOC2007/"),
                filter_cfg=dict(filter_empty_gt=True, min_size=32),
                pipeline={{_base_.train_pipeline}},
            ),
            dict(
                type="VOCDataset",
                data_root=data_root,
                ann_file="VOC2012/ImageSets/Main/trainval.txt",
                data_prefix=dict(sub_data_root="VOC2012/"),
                filter_cfg=dict(filter_empty_gt=True, min_size=32),
                pipeline={{_base_.train_pipeline}},
            ),
        ],
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="VOCDataset",
        data_root=data_root,
        ann_file="VOC2007/ImageSets/Main/test.txt",
        data_prefix=dict(sub_data_root="VOC2007/"),
        test_mode=True,
        pipeline={{_base_.test_pipeline}},
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="DetectionAP")
test_evaluator = val_evaluator
