"""What every run shares: hooks, processes, logs, and the three stages with the paper's settings."""

default_scope = "mmdet"
default_hooks = dict(
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=10),
    param_scheduler=dict(type="ParamSchedulerHook"),
    checkpoint=dict(type="CheckpointHook", interval=1, max_keep_ckpts=2),
    sampler_seed=dict(type="DistSamplerSeedHook"),
)
env_cfg = dict(cudnn_benchmark=False, mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0))
vis_backends = [dict(type="LocalVisBackend")]
visualizer = dict(type="DetLocalVisualizer", vis_backends=vis_backends, name="visualizer")
log_processor = dict(type="LogProcessor", window_size=50, by_epoch=True)
log_level = "INFO"
load_from = None
resume = False

# Super-net training (section 4.1.2). `image_scale` is (width, height), the ratio kept; `search_split` is the part of
# the training images that is held out for the search; `data_fraction` is the part of the rest that is trained on.
supernet = dict(
    image_scale=(800, 500),
    search_split=0.1,
    data_fraction=1.0,
    batch_size=16,
    epochs=12,
    optimizer="SGD",
    lr=0.02,
    milestones=(8, 11),
    warmup_iters=500,
    momentum=0.9,
    weight_decay=1e-4,
    l1_weight=1e-4,
    grad_clip=None,
)

# Evolution (section 3.2.2). `metric` is what candidates are ranked by.
search = dict(
    population=50,
    generations=12,
    top_k=10,
    mutation_prob=0.1,
    metric="AP",
    max_images=None,
    batch_size=8,
)

# Full training of one neck (section 4.1.3): 1x, single scale.
retrain = dict(
    image_scale=(1333, 800),
    batch_size=16,
    epochs=12,
    optimizer="SGD",
    lr=0.02,
    milestones=(8, 11),
    warmup_iters=500,
    momentum=0.9,
    weight_decay=1e-4,
    grad_clip=None,
)

# The image size (height, width) at which MACs are counted.
cost_input = (800, 1280)
