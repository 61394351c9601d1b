"""The checkpoints of a training run: its whole state in files. The last two are kept, the newest good one is found."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from socket import gethostname
from typing import Any

from mmengine.dist import get_world_size, is_main_process
from mmengine.runner import Runner

from opanas_cli.detection.checkpoints import (
    BrokenCheckpointError,
    are_numbers,
    are_watched,
    holds_tensors,
    read_checkpoint,
    write_checkpoint,
)
from opanas_cli.detection.processes.group import from_first, in_each
from opanas_cli.detection.processes.replicas import original
from opanas_cli.detection.spent import Spent
from opanas_cli.errors import InvalidCheckpointError, UsageError
from opanas_cli.search.settings import differences
from opanas_cli.stage_settings import CheckpointsSection

FORMAT = "opanas-run"
VERSION = 1
KEYS = ("settings", "processes", "position", "state_dict", "optimizer", "param_schedulers", "random_states")
PLAIN = ("version", "settings", "processes", "position", "losses", "watched", "spent")
KEPT = 2
SHOWN = 3
OF_LENGTH = ("end", "T_max", "total_iters", "total_steps", "_schedule_phases")
"""What mmengine's schedules derive from the length of the training if their config does not say where they end."""


class RunCheckpoints:
    """The checkpoints in the folder of one run.

    Args:
        identity: what two runs must share to be the same run; see `run_identity`.
        limits: the most minutes, up to the length of a step, and the most steps between two checkpoints.
    """

    def __init__(self, folder: Path, identity: dict[str, Any], limits: CheckpointsSection | None = None) -> None:
        self.folder = folder
        self.identity = identity
        self.limits = limits or CheckpointsSection()

    def due(self, steps: int, seconds: float) -> bool:
        """Whether the next checkpoint is due, so long after the last one."""
        limits = ((self.limits.steps, steps), (self.limits.minutes, seconds / 60))
        return any(most is not None and passed >= most for most, passed in limits)

    def save(self, runner: Runner) -> None:
        """Write the state of a run, and delete all but the last two. Every process calls it, the first one writes.

        Raises OpanasError if it cannot be written; earlier checkpoints are left as they were.
        """
        content = _state_of(runner)
        if content is None:
            return
        path = self.folder / f"step_{content['position']['step']:08}.pth"
        write_checkpoint({**content, "settings": json.dumps(self.identity)}, path)
        files = checkpoint_files(self.folder)
        last = files.index(path) + 1
        # Those of later steps could not be read when the run was resumed.
        for other in (*files[: max(last - KEPT, 0)], *files[last:]):
            other.unlink()

    def newest(self, processes: int) -> tuple[Path, dict[str, Any]] | None:
        """The newest checkpoint that can be read, and its content; None if there is none at all.

        If the newest is truncated or damaged, the one before it is taken, with a warning. Raises InvalidCheckpointError
        if none can be read, or it is of a newer version of opanas; UsageError if it is of a run with other settings, or
        of another number of processes.
        """
        files = checkpoint_files(self.folder)
        broken: BrokenCheckpointError | None = None
        for path in reversed(files):
            try:
                content = _read(path)
            except BrokenCheckpointError as error:
                broken = broken or error
                continue
            if broken is not None:
                warnings.warn(f"{broken}; resuming from {path.name}, the one before it", stacklevel=2)
            self._require_same(path, content, processes)
            return path, content
        if broken is None:
            return None
        if len(files) == 1:
            raise broken
        raise InvalidCheckpointError(
            f"{self.folder}: none of its {len(files)} checkpoints can be read; start again in another --work-dir "
            f"({broken})"
        )

    def newest_for_all(self) -> tuple[Path, dict[str, Any]] | None:
        """The newest checkpoint that the first process can read, and its content, which each process reads itself.

        All processes must call it. Raises what `newest` raises.
        """
        read: dict[Path, dict[str, Any]] = {}

        def path_of_newest() -> Path | None:
            read.update([found] if (found := self.newest(get_world_size())) else [])
            return next(iter(read), None)

        path = from_first(path_of_newest)
        return None if path is None else (path, in_each(lambda: read.get(path) or _read_here(path)))

    def require_none(self) -> None:
        """Raise UsageError if a run has begun here."""
        if checkpoint_files(self.folder):
            raise UsageError(
                f"{self.folder}: a training run already exists; add --resume to continue it, or choose another "
                "--work-dir"
            )

    def _require_same(self, path: Path, content: dict[str, Any], processes: int) -> None:
        if content["processes"] != processes:
            raise UsageError(
                f"{path}: was written by {_processes(content['processes'])}, which shared the images; start "
                f"as many instead of {processes}, or choose another --work-dir"
            )
        changes = list(differences(json.loads(content["settings"]), self.identity))
        if changes:
            more = f"; and {len(changes) - SHOWN} more" if len(changes) > SHOWN else ""
            raise UsageError(
                f"{path}: belongs to a different run: {'; '.join(changes[:SHOWN])}{more}; use its settings or another "
                "--work-dir"
            )


def checkpoint_files(folder: Path) -> list[Path]:
    """The checkpoints in the folder of a run, the oldest first."""
    return sorted(path for path in folder.glob("step_*.pth") if re.fullmatch(r"step_\d{8,}\.pth", path.name))


def forget_run(folder: Path) -> None:
    """Delete the checkpoints of the run in a folder, so that another may begin there."""
    for path in checkpoint_files(folder):
        path.unlink()


def restore(runner: Runner, content: dict[str, Any]) -> None:
    """Bring network, optimizer, schedules and hooks of a run to the state in a checkpoint; the rest is the loop's."""
    runner.call_hook("after_load_checkpoint", checkpoint=content)
    original(runner.model).load_state_dict(content["state_dict"])
    runner.optim_wrapper.load_state_dict(content["optimizer"])
    states = iter(_flat(content["param_schedulers"]))
    _each(runner.param_schedulers, lambda scheduler: _resume_schedule(scheduler, next(states)))


def _resume_schedule(scheduler: Any, state: dict[str, Any]) -> None:
    """Bring a schedule to where it was. It ends where this run ends, which may be later than the one it is from.

    A step that was done at the end of that run was outside of the schedule, and now is inside.
    """
    length = {name: value for name, value in vars(scheduler).items() if name in OF_LENGTH}
    scheduler.load_state_dict({**state, **length})
    done, ended = scheduler._global_step, state["end"]
    if ended <= done < scheduler.end:
        scheduler._global_step = ended - 1
        for _ in range(ended, done + 1):
            scheduler.step()


def settle(runner: Runner) -> None:
    """Give a trained network the weights that hooks put into checkpoints, such as the averages of an `EMAHook`."""
    network = original(runner.model)
    content = {"state_dict": network.state_dict()}
    runner.call_hook("before_save_checkpoint", checkpoint=content)
    network.load_state_dict(content["state_dict"])


def _state_of(runner: Runner) -> dict[str, Any] | None:
    """The state of a run between two steps: None in all processes but the first, and all of them must ask.

    mmengine's hooks add theirs.
    """
    loop = runner.train_loop.state()
    if not is_main_process():
        return None
    content = {
        "format": FORMAT,
        "version": VERSION,
        "processes": get_world_size(),
        **loop,
        "state_dict": {name: value.cpu() for name, value in original(runner.model).state_dict().items()},
        "optimizer": runner.optim_wrapper.state_dict(),
        "param_schedulers": _each(runner.param_schedulers, lambda scheduler: scheduler.state_dict()),
    }
    runner.call_hook("before_save_checkpoint", checkpoint=content)
    return content


def _each(schedulers: Any, call: Callable[[Any], Any]) -> Any:
    """The results for all schedulers, which are a list, or a list for each of several optimizers by name."""
    if isinstance(schedulers, dict):
        return {name: _each(part, call) for name, part in schedulers.items()}
    return [call(scheduler) for scheduler in schedulers or ()]


def _flat(states: Any) -> list[Any]:
    return [state for part in states.values() for state in part] if isinstance(states, dict) else list(states)


def _read(path: Path) -> dict[str, Any]:
    """The content of a checkpoint, if the file is as it was written.

    Raises BrokenCheckpointError if it is truncated or damaged, InvalidCheckpointError if it cannot be resumed from.
    """
    content = read_checkpoint(path, ours=True)
    if content.get("format") != FORMAT:
        raise InvalidCheckpointError(f"{path}: is not a checkpoint of an opanas training run")
    if holds_tensors([content.get(name) for name in PLAIN]):
        raise BrokenCheckpointError(f"{path}: has tensors in place of values; start again in another --work-dir")
    if content.get("version") != VERSION:
        raise InvalidCheckpointError(
            f"{path}: is of version {content.get('version')!r}, but this release reads version {VERSION}; update opanas"
        )
    missing = [key for key in KEYS if key not in content]
    if missing:
        raise InvalidCheckpointError(f"{path}: has no '{missing[0]}' to resume from; start again without --resume")
    if not _is_valid(content):
        raise BrokenCheckpointError(
            f"{path}: has no valid position, settings, losses or random states; start again in another --work-dir"
        )
    return content


def _is_valid(content: dict[str, Any]) -> bool:
    """Whether all that is read before the network is built is of the right kind."""
    try:
        places = [content["position"][name] for name in ("step", "epoch", "batch")]
        Spent.of(content.get("spent", {}))
        settings, processes, states = json.loads(content["settings"]), content["processes"], content["random_states"]
        return (
            isinstance(settings, dict)
            and all(map(are_numbers, content.get("losses", {}).values()))
            and are_watched(content.get("watched", []))
            and all(isinstance(number, int) and number >= 0 for number in (processes, *places))
            and isinstance(states, list)
            and len(states) == processes
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        return False


def _processes(number: int) -> str:
    return f"{number} process{'es' if number > 1 else ''}"


def _read_here(path: Path) -> dict[str, Any]:
    try:
        return read_checkpoint(path)
    except InvalidCheckpointError as error:
        raise InvalidCheckpointError(f"on {gethostname()}, which must share the work dir: {error}") from error
