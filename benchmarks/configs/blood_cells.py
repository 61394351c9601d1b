"""`custom-small` on photographs of blood cells, each neck behind a backbone that is trained already.

    opanas retrain custom-small --neck fpn --genotype opa-fpn --work-dir runs/blood-cells/start \
        --cfg-options data_root=BCCD retrain.epochs=24 'retrain.milestones=(18,22)'

trains the detector whose backbone this config starts from, as other detectors start from one trained on ImageNet.
"""

_base_ = ["../../configs/custom-small.py"]

model = dict(
    backbone=dict(
        init_cfg=dict(
            _delete_=True,
            type="Pretrained",
            checkpoint="runs/blood-cells/start/detector.pth",
            prefix="backbone.",
        ),
    ),
)
# Images within 224 pixels: half the time of those that the search took.
retrain = dict(image_scale=(224, 224), epochs=4, milestones=(3,))
cost_input = (224, 224)
