"""What other packages add to opanas, found through entry points."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")


def entry_points_of(group: str, built_in: Mapping[str, str]) -> Iterator[EntryPoint]:
    """The entry points of a group, `built_in` ones first, whether package metadata says them or not."""
    from importlib.metadata import EntryPoint, entry_points

    ours = [EntryPoint(name, value, group) for name, value in built_in.items()]
    yield from ours
    seen = {(point.name, point.value) for point in ours}
    for point in entry_points(group=group):
        # An editable installation may show its own metadata twice.
        if (point.name, point.value) not in seen:
            seen.add((point.name, point.value))
            yield point


def load_plug_ins(
    points: Iterable[EntryPoint], kind: str, checked: Callable[[object, str, Mapping[str, T]], T]
) -> dict[str, T]:
    """What entry points lead to, by their names, without what is broken or claims a name already taken.

    What is left out is named in a warning, as the `kind` of thing that it should have been.

    Args:
        checked: is given what an entry point leads to, its name and what was loaded before; hands it on, or raises.
    """
    loaded: dict[str, T] = {}
    for point in points:
        try:
            if point.name in loaded:
                raise ValueError(f"the name '{point.name}' is taken")
            loaded[point.name] = checked(point.load(), point.name, loaded)
        except (Exception, SystemExit) as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            message = f"the {kind} '{point.name}' ({point.value}) is skipped: {reason}"
            warnings.warn(message, RuntimeWarning, stacklevel=3)
    return loaded
