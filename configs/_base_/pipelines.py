"""Loading and augmentation. The scale of `Resize` is set from `image_scale` of the stage that runs."""

train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True),
    # Boxes without area, which real data sets hold, have no regression target.
    dict(type="FilterAnnotations", min_gt_bbox_wh=(1, 1)),
    dict(type="Resize", scale=(800, 500), keep_ratio=True),
    dict(type="RandomFlip", prob=0.5),
    dict(type="PackDetInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=(800, 500), keep_ratio=True),
    # After Resize, so that the boxes stay those of the original image.
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="PackDetInputs", meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")),
]
