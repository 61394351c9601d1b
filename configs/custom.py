"""Your own data set, in a VOC or a COCO folder: set `data_root`, and `classes` to choose or order them.

    opanas train-supernet custom --cfg-options data_root=/data/cells classes=RBC,WBC,Platelets

A VOC folder holds Annotations/, JPEGImages/ and ImageSets/Main/{train,val,test}.txt. A COCO folder holds
annotations/{train,val,test}.json (or instances_train.json, or instances_train2017.json, …) and the images in {train,
val,test}/ (or train2017/, images/train/, images/). Without a test split the validation split is tested on. Classes
default to all that the training annotations name.
"""

_base_ = ["_base_/faster_rcnn.py", "_base_/pipelines.py", "_base_/runtime.py"]

data_root = None
classes = None

supernet = dict(search_split=0.2)

train_dataloader = dict(
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    batch_sampler=dict(type="AspectRatioBatchSampler"),
    dataset=dict(type="OwnFolder", split="train", pipeline={{_base_.train_pipeline}}),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type="OwnFolder", split="val", pipeline={{_base_.test_pipeline}}),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type="OwnFolder", split="test", pipeline={{_base_.test_pipeline}}),
)
val_evaluator = dict(type="DetectionAP")
test_evaluator = dict(type="DetectionAP")
