"""A super-net in the place of any detector's neck, with the levels that this neck makes of an image."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from typing import Any

import torch
from mmcv.cnn import ConvModule
from mmdet.registry import MODELS
from mmengine.config import Config, ConfigDict
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from opanas_cli.detection.configs.building import build_detector, building, config_errors
from opanas_cli.detection.configs.necks import is_super_net, search_space, with_sub_net
from opanas_cli.detection.configs.parts import dicts_in, require_backbone
from opanas_cli.detection.quiet import silenced
from opanas_cli.errors import InvalidConfigError
from opanas_cli.genotype import Genotype, PathType
from opanas_cli.necks.convolution import ACTIVATIONS, NORMS
from opanas_cli.necks.super_net import refuse_batch_norm

IMAGE_SIZE = 256
"""The side of the image by which levels are told apart, in pixels: two on a level of stride 128."""

GROUP_NORM = dict(type="GN", num_groups=1)
"""What batch norm becomes in a super-net: one group fits every width."""

NOT_BEHIND_THE_NECK = ("backbone", "neck", "data_preprocessor", "train_cfg", "test_cfg", "init_cfg")


def with_super_net(config: Config, for_search: bool = True, **neck: Any) -> Config:
    """The config of a detector whose neck is a super-net with the levels and the width of the neck that it had.

    A super-net stays one.

    The detector is built and run on one small image. Channels, levels, strides and width are those of the feature maps
    and of the pyramid that come out; norm and activation are those of the neck's convolutions, whose levels are then
    normalised too (`output_norm_cfg`). Extra levels are made by convolutions unless they were every second pixel.
    Everything else is as it was, so a config with data can be trained as it is.

    Args:
        config: of any mmdet detector, as `load_config` reads it. It is not changed.
        for_search: batch norm in the neck and behind it becomes group norm, because its statistics would mix all
            sub-nets. False keeps it: for one genotype, which `with_sub_net` puts in the super-net's place.
        **neck: settings of the super-net, such as `num_nodes=3`, which go before those that were found.

    Raises:
        InvalidConfigError: the detector cannot be built, or its neck is not one that a super-net can replace.
        InvalidGenotypeError: there is no space of these settings.
    """
    require_backbone(config)
    if not config.model.get("neck"):
        raise InvalidConfigError(
            f"{config.filename}: model.neck is missing; a super-net replaces the neck of a detector"
        )
    changed = copy.deepcopy(config)
    if is_super_net(config):
        changed.model.neck.update(neck)
        return changed
    with silenced(), torch.no_grad():
        detector = build_detector(config).eval()
        features, levels = _run(detector, config)
        changed.model.neck = ConfigDict(
            type="OPASuperNet",
            **_level_settings(features, levels, config),
            **_norm_and_activation(detector.neck, config, for_search),
        )
        changed.model.neck.update(neck)
        search_space(changed)  # Refuses settings of another space.
        if for_search:
            for key, part in changed.model.items():
                if key not in NOT_BEHIND_THE_NECK:
                    _replace_batch_norm(part)
        # Of one genotype, since a super-net takes long to build.
        detector = build_detector(with_sub_net(changed, Genotype((PathType.SKIP_CONNECT,)))).eval()
        with building(config):
            if for_search:
                refuse_batch_norm_behind_backbone(detector)
            ours = detector.neck(features)
        shapes, expected = ([tuple(level.shape[1:]) for level in pyramid] for pyramid in (ours, levels))
        if shapes != expected:
            raise _cannot_replace(config, f"its levels are {expected}, and a super-net's would be {shapes}")
    imports = list((config.get("custom_imports") or {}).get("imports", []))
    if "opanas_cli.detection" not in imports:
        changed.custom_imports = dict(imports=[*imports, "opanas_cli.detection"], allow_failed_imports=False)
    return changed


def refuse_batch_norm_behind_backbone(detector: nn.Module) -> None:
    """Raise InvalidConfigError if a part of a detector with a super-net has batch norm, its backbone apart.

    The backbone runs before the neck, so its statistics are those of every sub-net.
    """
    for name, part in detector.named_modules():
        if not name.startswith("backbone") and (hasattr(part, "norm_cfg") or not list(part.children())):
            refuse_batch_norm(part, name)


def _run(detector: nn.Module, config: Config) -> tuple[list[Tensor], list[Tensor]]:
    """The backbone's feature maps and the neck's levels of an image."""
    image = torch.rand(1, 3, IMAGE_SIZE, IMAGE_SIZE, generator=torch.Generator().manual_seed(0))
    with config_errors(config.filename, f"cannot be run on an image of {IMAGE_SIZE}×{IMAGE_SIZE} pixels"):
        for part in detector.modules():
            if "checkpoint" in str(getattr(part, "init_cfg", None)):
                part.init_cfg = None
            if hasattr(part, "pretrained"):
                part.pretrained = None
        for part in (detector.backbone, detector.neck):
            if hasattr(part, "init_weights"):
                part.init_weights()  # Until then some weights are any numbers, NaN among them.
        features = detector.backbone(image)
        levels = detector.neck(features)
        heads_see = detector.extract_feat(image)
    if not _are_equal(levels, heads_see):
        raise _cannot_replace(config, f"a {config.model.type} does more than run its backbone and its neck")
    return list(features), list(levels)


def _are_equal(pyramid: Any, other: Any) -> bool:
    lists = all(isinstance(levels, (list, tuple)) for levels in (pyramid, other))
    return lists and len(pyramid) == len(other) and all(map(torch.equal, pyramid, other))


def _level_settings(features: Sequence[Tensor], levels: Sequence[Tensor], config: Config) -> dict[str, Any]:
    """The settings of the super-net that give these levels of these feature maps."""
    ours, theirs = _strides(features), _strides(levels)
    widths = [level.shape[1] for level in levels]
    if len(levels) < 2:
        raise _cannot_replace(config, "it gives one level, and information paths need at least two")
    if len(set(widths)) > 1:
        raise _cannot_replace(config, f"its levels have the widths {_listed(widths)}, and a super-net's all have one")
    if theirs != [theirs[0] * 2**level for level in range(len(levels))]:
        raise _cannot_replace(
            config, f"its levels have the strides {_listed(theirs)}, and each must have twice that of the level before"
        )
    if theirs[0] not in ours:
        raise _cannot_replace(
            config, f"its finest level has a stride of {theirs[0]}, and the backbone's have {_listed(ours)}"
        )
    start = ours.index(theirs[0])
    used = ours[start:]
    if used != theirs[: len(used)]:
        raise _cannot_replace(
            config, f"its levels have the strides {_listed(theirs)}, and the backbone's feature maps {_listed(ours)}"
        )
    extra = list(zip(levels[len(used) - 1 :], levels[len(used) :], strict=False))
    return dict(
        in_channels=[feature.shape[1] for feature in features],
        out_channels=widths[0],
        num_outs=len(levels),
        start_level=start,
        extra_convs=any(not torch.equal(coarser, finer[..., ::2, ::2]) for finer, coarser in extra),
    )


def _strides(pyramid: Sequence[Tensor]) -> list[int]:
    return [IMAGE_SIZE // max(1, level.shape[-1]) for level in pyramid]


def _listed(values: Sequence[int]) -> str:
    return ", ".join(map(str, values))


def _norm_and_activation(neck: nn.Module, config: Config, for_search: bool) -> dict[str, Any]:
    """Those of the neck's convolutions, as settings; none of a neck without."""
    convs = [module for module in neck.modules() if isinstance(module, ConvModule)]
    norm = next((conv.norm_cfg for conv in convs if conv.with_norm), None)
    activation = next((conv.act_cfg for conv in convs if conv.with_activation), None)
    if norm and for_search and _is_batch_norm(norm):
        norm = GROUP_NORM
    for given, known, what in ((norm, NORMS, "norm"), (activation, ACTIVATIONS, "activation")):
        if given and given["type"] not in known:
            raise _cannot_replace(
                config, f"its {what} is {given['type']}, and a super-net's is one of {', '.join(known)}"
            )
    settings = dict(norm_cfg=norm, output_norm_cfg=norm, act_cfg=activation)
    return {name: copy.deepcopy(value) for name, value in settings.items() if value}


def _replace_batch_norm(part: Any) -> None:
    """Set every batch norm at any depth to group norm, also where it is a module's default."""
    for inner in dicts_in(part):
        if _is_batch_norm(norm_of(inner)):
            inner["norm_cfg"] = ConfigDict(GROUP_NORM)


def norm_of(part: Any) -> Any:
    """The `norm_cfg` of a module's config, else the default of its class, which may be that of a base class."""
    kind = _class_of(part.get("type"))
    defaults = (
        setting.default
        for base in (inspect.getmro(kind) if inspect.isclass(kind) else ())
        if (setting := inspect.signature(base.__init__).parameters.get("norm_cfg")) is not None
    )
    return part.get("norm_cfg", next(defaults, None))


def _is_batch_norm(norm: Any) -> bool:
    kind = _class_of(norm.get("type")) if isinstance(norm, dict) else None
    return inspect.isclass(kind) and issubclass(kind, _BatchNorm)


def _class_of(kind: Any) -> Any:
    return MODELS.get(kind) if isinstance(kind, str) else kind


def _cannot_replace(config: Config, reason: str) -> InvalidConfigError:
    necks = config.model.get("neck")
    kinds = [neck.get("type") for neck in (necks if isinstance(necks, (list, tuple)) else [necks]) if neck]
    name = " and ".join(str(getattr(kind, "__name__", kind)) for kind in kinds)
    return InvalidConfigError(f"{config.filename}: a super-net cannot replace its neck {name}: {reason}")
