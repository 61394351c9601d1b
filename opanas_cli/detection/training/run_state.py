"""All that decides how a training run goes on, as tensors and plain data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mmengine.dist import all_gather_object, get_world_size, is_main_process
from mmengine.runner import Runner

from opanas_cli.detection.processes.random_states import random_states
from opanas_cli.detection.processes.replicas import original

FORMAT = "opanas-run"
VERSION = 1
KEYS = ("settings", "processes", "position", "state_dict", "optimizer", "param_schedulers", "random_states")


def state_of(runner: Runner) -> dict[str, Any] | None:
    """The state of a run between two steps: None in all processes but the first, and all of them must ask.

    The random states are those of all processes, in the order of their ranks. mmengine's hooks add theirs.
    """
    states = all_gather_object(random_states())
    if not is_main_process():
        return None
    content = {
        "format": FORMAT,
        "version": VERSION,
        "processes": get_world_size(),
        "position": runner.train_loop.position,
        "state_dict": {name: value.cpu() for name, value in original(runner.model).state_dict().items()},
        "optimizer": runner.optim_wrapper.state_dict(),
        "param_schedulers": _each(runner.param_schedulers, lambda scheduler: scheduler.state_dict()),
        "random_states": states,
    }
    runner.call_hook("before_save_checkpoint", checkpoint=content)
    return content


def restore(runner: Runner, content: dict[str, Any]) -> None:
    """Bring a run whose network, optimizer and schedules are built to where `state_of` found it.

    Its position and the random states are the loop's; see `ResumableTrainLoop`.
    """
    runner.call_hook("after_load_checkpoint", checkpoint=content)
    original(runner.model).load_state_dict(content["state_dict"])
    runner.optim_wrapper.load_state_dict(content["optimizer"])
    states = iter(_flat(content["param_schedulers"]))
    _each(runner.param_schedulers, lambda scheduler: scheduler.load_state_dict(next(states)))


def _each(schedulers: Any, call: Callable[[Any], Any]) -> Any:
    """The results for all schedulers, which are a list, or a list for each of several optimizers by name."""
    if isinstance(schedulers, dict):
        return {name: _each(part, call) for name, part in schedulers.items()}
    return [call(scheduler) for scheduler in schedulers or ()]


def _flat(states: Any) -> list[Any]:
    return [state for part in states.values() for state in part] if isinstance(states, dict) else list(states)
