"""How a network is trained, as mmengine takes it: image size, batch, optimizer and learning rates (section 4.1)."""

from __future__ import annotations

import inspect

from mmengine.config import Config
from mmengine.registry import OPTIMIZERS

from opanas_cli.detection.configs.image_scale import set_image_scale
from opanas_cli.stage_settings import TrainingSection


def apply_schedule(config: Config, settings: TrainingSection) -> None:
    """Set image size, batch, optimizer and learning rates from the plain settings of a stage (section 4.1)."""
    epochs, warmup, milestones = settings.epochs, settings.warmup_iters, settings.milestones
    set_image_scale(config, settings.image_scale, getattr(settings, "train_scales", None))
    config.train_dataloader["batch_size"] = settings.batch_size
    config.train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=epochs, val_interval=epochs + 1)
    momentum = dict(momentum=settings.momentum) if settings.optimizer == "SGD" else {}
    config.optim_wrapper = dict(
        type="AmpOptimWrapper" if settings.amp else "OptimWrapper",
        optimizer=dict(type=settings.optimizer, lr=settings.lr, weight_decay=settings.weight_decay, **momentum),
        clip_grad=dict(max_norm=settings.grad_clip) if settings.grad_clip else None,
    )
    config.param_scheduler = []
    if warmup:
        config.param_scheduler.append(dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=warmup))
    if milestones:
        config.param_scheduler.append(
            dict(type="MultiStepLR", by_epoch=True, begin=0, milestones=list(milestones), gamma=0.1)
        )


def fuse_update(config: Config) -> None:
    """Update all weights by one kernel, if torch has one: a super-net has hundreds of small tensors."""
    optimizer = config.optim_wrapper.optimizer
    if "fused" in inspect.signature(OPTIMIZERS.get(optimizer.type)).parameters:
        optimizer.fused = True
