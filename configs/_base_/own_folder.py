"""The user's own folder in any known layout; `OwnFolder` becomes a data set of it once `data_root` is known."""

_base_ = ["pipelines.py"]

data_root = None
classes = None
split = (0.8, 0.1, 0.1)

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
