"""What opanas has several of, and what other packages add to it through entry points."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from reprlib import repr as shown
from types import MappingProxyType
from typing import TYPE_CHECKING, Generic, TypeVar

from opanas_cli.errors import UsageError
from opanas_cli.suggestions import choice

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Registry(Generic[T]):
    """Things of one kind by name: ours, and those found through a group of entry points.

    Args:
        group: the group.
        kind: what the things are, for messages.
        built_in: ours, as ``module:attribute``. They need no entry points, so they work without an installation.
        checked: is given a thing, its name and what was loaded before; returns it, or raises.
        others: gives further things of ours.
        option: where a user writes a name, for messages.
    """

    group: str
    kind: str
    built_in: Mapping[str, str]
    checked: Callable[[object, str, Mapping[str, T]], T]
    others: Callable[[], Mapping[str, T]] = dict
    option: str = ""

    @cached_property
    def all(self) -> Mapping[str, T]:
        """All things, ours first."""
        from importlib.metadata import EntryPoint, entry_points

        ours = [EntryPoint(name, value, self.group) for name, value in self.built_in.items()]
        # Our package's metadata may say ours again, and an editable installation shows its own twice.
        points = {(point.name, point.value): point for point in [*ours, *entry_points(group=self.group)]}
        return MappingProxyType({**self.load(points.values()), **self.others()})

    def named(self, name: str) -> T:
        """The thing called `name`; UsageError if there is none."""
        if name not in self.all:
            raise UsageError(f"{self.option}{': ' if self.option else ''}{self.unknown(name)}")
        return self.all[name]

    def unknown(self, name: object) -> str:
        """What a message says about a name that there is not."""
        article = "an" if self.kind[0] in "aeiou" else "a"
        hint = choice(name if isinstance(name, str) else "", list(self.all))
        return f"{shown(name)} is not {article} {self.kind}; {hint}"

    def load(self, points: Iterable[EntryPoint]) -> dict[str, T]:
        """What entry points lead to; what is broken or claims a name already taken is skipped with a warning."""
        loaded: dict[str, T] = {}
        for point in points:
            try:
                if point.name in loaded:
                    raise ValueError(f"the name '{point.name}' is taken")
                loaded[point.name] = self.checked(point.load(), point.name, loaded)
            except (Exception, SystemExit) as error:
                reason = " ".join(f"{type(error).__name__}: {error}".split())
                message = f"the {self.kind} '{point.name}' ({point.value}) is skipped: {reason}"
                warnings.warn(message, RuntimeWarning, stacklevel=2)
        return loaded


def instance_called(thing: object, kind: type[T], name: str) -> T:
    """The thing, if it is of a class and calls itself by the name of its entry point; else an error."""
    if not isinstance(thing, kind):
        raise TypeError(f"expected {kind.__name__}, but got {thing!r}")
    if (called := getattr(thing, "name", thing)) != name:
        raise ValueError(f"it calls itself '{called}'")
    return thing
