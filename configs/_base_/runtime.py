"""What every run shares: hooks, processes, logs, and the sizes of images."""

default_scope = "mmdet"
default_hooks = dict(
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=10),
    param_scheduler=dict(type="ParamSchedulerHook"),
    # For mmdet's own tools; opanas saves by the section `checkpoints`.
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

# The stages train and search by the paper's settings (sections 4.1.2, 3.2.2 and 4.1.3), which opanas knows and
# docs/configuration.md lists; here are those that it leaves to the config. `image_scale` is (width, height), with the
# ratio kept.
supernet = dict(image_scale=(800, 500))
retrain = dict(image_scale=(1333, 800))

# The image size (height, width) at which MACs are counted.
cost_input = (800, 1280)
