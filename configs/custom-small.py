"""`custom` without a GPU: your own folder of images, a small detector from scratch, images within 320 pixels."""

_base_ = ["_base_/small_faster_rcnn.py", "_base_/own_folder.py", "_base_/runtime.py"]

schedule = dict(
    image_scale=(320, 320),
    batch_size=4,
    optimizer="AdamW",
    lr=0.001,
    weight_decay=0.01,
    warmup_iters=50,
    grad_clip=10.0,
)
supernet = dict(search_split=0.2, sampling="all", epochs=12, milestones=(8, 11), **schedule)
search = dict(population=24, generations=4, top_k=8, finalists=8)
retrain = dict(epochs=16, milestones=(11, 14), **schedule)
del schedule
cost_input = (320, 320)
