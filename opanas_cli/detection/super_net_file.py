"""``supernet.pth``: what it holds, and for which task it was trained."""

from __future__ import annotations

import copy
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from torch import Tensor

from opanas_cli.detection.checkpoints import are_numbers, are_watched, holds_tensors, read_checkpoint
from opanas_cli.detection.configs.data_checks import dataset_classes
from opanas_cli.detection.configs.necks import search_space
from opanas_cli.detection.configs.parts import DATALOADERS, each_dataset
from opanas_cli.detection.spent import Spent
from opanas_cli.errors import InvalidCheckpointError, InvalidGenotypeError
from opanas_cli.genotype import SearchSpace
from opanas_cli.stage_settings import MIXED, SAMPLED, SPLITS

SUPER_NET_FORMAT = "opanas-supernet"
VERSION = 1


def task_of(config: Config) -> dict[str, Any]:
    """What a super-net is trained for, as ``supernet.pth`` keeps it.

    A space, classes in the order of labels, and how images are split if the data set comes without splits.
    """
    space = search_space(config)
    paths = [str(path) for path in space.paths]
    datasets = [dataset for name in DATALOADERS for dataset in each_dataset(config.get(name))]
    return {
        "space": {"num_nodes": space.num_nodes, "kind": str(space.kind), "paths": paths},
        "classes": list(dataset_classes(datasets[0])) if datasets else [],
        "split": _made_split(datasets),
    }


def _made_split(datasets: Sequence[Any]) -> list[Any] | None:
    """The setting `split` by which splits were made, with what is kept together; None if there are some."""
    part = next((dataset["part"] for dataset in datasets if dataset.get("part")), None)
    return None if part is None else [*part["fractions"], part["by"]]


def require_same_task(content: dict[str, Any], config: Config, path: Path) -> None:
    """Raise InvalidCheckpointError, with the option to add, unless a super-net was trained for the task of a config.

    With classes in another order weights fit too. Paths without weights may differ: training usually leaves them out.
    """
    trained, asked = _task_settings(content["meta"]), _task_settings(task_of(config))
    for key, was in trained.items():
        if None not in (was, asked[key]) and _weighing(was) != _weighing(asked[key]):
            then, now = _as_option(was), _as_option(asked[key])
            raise InvalidCheckpointError(
                f"{path}: was trained with {key} {then:.200}, but {config.filename} has {now:.200}; add --cfg-options "
                + shlex.quote(f"{key}={then}")
            )


def _task_settings(task: dict[str, Any]) -> dict[str, Any]:
    """The settings of a config that make up its task, by their keys."""
    space = SearchSpace.of_document(task["space"])
    return {
        "classes": task["classes"],
        "model.neck.num_nodes": space.num_nodes,
        "model.neck.space": str(space.kind),
        "model.neck.paths": space.paths,
        "split": task.get("split"),
    }


def _weighing(value: Any) -> Any:
    """Of the paths of a space those with weights, in any order; other settings as they are."""
    return {path for path in value if path.is_parameterised} if isinstance(value, tuple) else value


def _as_option(value: Any) -> str:
    """A setting in the syntax of ``--cfg-options``, in which a single name is not a list."""
    if not isinstance(value, (list, tuple)):
        return str(value)
    names = ",".join(map(str, value))
    return names if len(value) > 1 else f"[{names}]"


def super_net_for(config: Config, path: Path) -> tuple[dict[str, Any], Config]:
    """The content of ``supernet.pth``, and a copy of the config that splits images as the super-net's training did.

    Raises InvalidCheckpointError as `super_net_of_sub_nets`.
    """
    content = super_net_of_sub_nets(config, path)
    config = copy.deepcopy(config)
    config.supernet = dict(config.get("supernet") or {}, split_by=content["meta"]["split_by"])
    return content, config


def edge_importances(path: Path) -> tuple[SearchSpace, tuple[float, ...]]:
    """The space of ``supernet.pth`` and γ of each of its edges in flat order (Eq. 10).

    Raises InvalidCheckpointError as `read_super_net`, or if there is not one finite number for each edge.
    """
    content = read_super_net(path)
    space = SearchSpace.of_document(content["meta"]["space"])
    state = content.get("state_dict")
    found = state.get("neck.edge_importance") if isinstance(state, dict) else None
    if found is None:
        raise InvalidCheckpointError(
            f"{path}: has no edge importances; train it with --cfg-options model.neck.edge_importance=True"
        )
    count = len(space.edges)
    if (
        not isinstance(found, Tensor)
        or found.shape != (count,)
        or not found.is_floating_point()
        or not found.isfinite().all()
    ):
        raise InvalidCheckpointError(f"{path}: has not one finite importance for each of {count} edges; train it again")
    return space, tuple(found.tolist())


def super_net_of_sub_nets(config: Config, path: Path) -> dict[str, Any]:
    """The content of ``supernet.pth``, whose weights serve the sub-nets of a config.

    Raises InvalidCheckpointError as `read_super_net` and `require_same_task`, and if the weights were trained as a
    mixture: no path was ever run without the others, so they say nothing about a sub-net.
    """
    content = read_super_net(path)
    require_same_task(content, config, path)
    method = content["meta"].get("method", SAMPLED[0])
    if method in MIXED:
        raise InvalidCheckpointError(
            f"{path}: was trained as a mixture by {method}, which ranks no sub-nets: its genotype is in the best.json "
            f"of its training; to search, correlate or inherit weights, train with --method {' or '.join(SAMPLED)}"
        )
    return content


def read_super_net(path: Path) -> dict[str, Any]:
    """The content of ``supernet.pth``; raises InvalidCheckpointError if the file is anything else."""
    content = read_checkpoint(path)
    if content.get("format") != SUPER_NET_FORMAT or not isinstance(content.get("meta"), dict):
        raise InvalidCheckpointError(f"{path}: is not a super-net; make one with opanas train-supernet")
    if holds_tensors([content.get("version"), content["meta"]]):
        raise InvalidCheckpointError(f"{path}: has tensors in place of values; train the super-net again")
    if content.get("version") != VERSION:
        raise InvalidCheckpointError(
            f"{path}: is of version {content.get('version')!r}, but this release reads version {VERSION}; update opanas"
        )
    steps, losses = content["meta"].get("steps", 0), content["meta"].get("losses", [0, 0])
    if not (
        are_numbers(losses)
        and are_numbers([steps])
        and len(losses) == 2
        and are_watched(content["meta"].get("watched", []))
    ):
        raise InvalidCheckpointError(f"{path}: meta.steps, losses or watched is not as it was written; train it again")
    method = content["meta"].get("method", SAMPLED[0])
    if method not in (*SAMPLED, *MIXED):
        raise InvalidCheckpointError(f"{path}: meta.method must be a method, but got {method!r:.40}; train it again")
    try:
        Spent.of(content["meta"].get("spent", {}))
    except ValueError as error:
        raise InvalidCheckpointError(f"{path}: meta.spent: {error}; train it again") from error
    split = content["meta"].get("search_split")
    if not isinstance(split, float) or not 0 <= split < 1:
        raise InvalidCheckpointError(f"{path}: meta.search_split must be a fraction below 1, but got {split!r:.40}")
    split_by = content["meta"].get("split_by")
    if split_by not in SPLITS:
        raise InvalidCheckpointError(f"{path}: meta.split_by must be file or folder, but got {split_by!r:.40}")
    classes = content["meta"].get("classes")
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise InvalidCheckpointError(f"{path}: meta.classes must be a list of names, but got {classes!r:.40}")
    try:
        _task_settings(content["meta"])
    except (KeyError, TypeError, InvalidGenotypeError) as error:
        raise InvalidCheckpointError(f"{path}: meta.space is not a valid space ({error})") from error
    return content
