"""The information paths: one table of ours (section 3.1 of the paper), and those that plug-ins add."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from opanas_cli.errors import InvalidGenotypeError
from opanas_cli.plug_ins import Registry, instance_called


@dataclass(frozen=True, eq=False, repr=False)
class PathType(str):
    """A kind of information path between two feature pyramids. As a string it is its name, which files hold.

    Args:
        value: the name, such as ``top_down``.
        short: in drawings, such as ``TD``; in lower case in the one-line text of a genotype.
        colour: in drawings, as ``#RRGGBB``.
        builder: ``module:Class`` of its torch module, see `opanas_cli.necks.information_paths.build_path`; None is
            a path that computes nothing.
        is_parameterised: whether the module has weights of its own, and so takes part in any super-net training.
    """

    value: str
    short: str
    colour: str
    builder: str | None = None
    is_parameterised: bool = False

    SKIP_CONNECT: ClassVar[PathType]
    NONE: ClassVar[PathType]

    def __new__(cls, value: str, *_: object, **__: object) -> PathType:
        return super().__new__(cls, value)

    def __reduce__(self) -> tuple[object, ...]:
        return PathType.parse, (self.value,)

    @property
    def label(self) -> str:
        """The name in a legend, such as ``top-down``."""
        return self.value.replace("_", "-")

    @classmethod
    def parse(cls, name: object) -> PathType:
        """The path called `name`.

        Raises:
            InvalidGenotypeError: there is none; the message lists those that there are, the closest name first.
        """
        if isinstance(name, cls):
            return name
        if isinstance(name, str) and (found := _BUILT_IN.get(name) or information_paths().get(name)):
            return found
        raise InvalidGenotypeError(PATHS.unknown(name))


BUILT_IN_PATHS = (
    PathType("top_down", "TD", "#0072B2", "opanas_cli.necks.top_down:TopDown", True),
    PathType("bottom_up", "BU", "#D55E00", "opanas_cli.necks.bottom_up:BottomUp", True),
    PathType("scale_equalizing", "SE", "#009E73", "opanas_cli.necks.scale_equalizing:ScaleEqualizing", True),
    PathType("fusing_splitting", "FS", "#D0609F", "opanas_cli.necks.fusing_splitting:FusingSplitting", True),
    PathType("skip_connect", "skip", "#4D4D4D"),
    PathType("none", "none", "#B8BEC4"),
)
"""Each is also an attribute, such as `PathType.TOP_DOWN`. The colours follow Okabe and Ito's palette, which stays apart
for people with any of the common colour-vision deficiencies."""

PAPER_PATHS = BUILT_IN_PATHS[:6]
"""The paths of a search space that lists no others, so that a new path changes no search that does not name it."""

_BUILT_IN = {path.value: path for path in BUILT_IN_PATHS}
for _path in BUILT_IN_PATHS:
    setattr(PathType, _path.upper(), _path)


def _checked(thing: object, name: str, loaded: Mapping[str, PathType]) -> PathType:
    path = instance_called(thing, PathType, name)
    spelled = f"{path} {path.short} {path.colour}"
    if not re.fullmatch("[a-z][a-z0-9_]* [A-Za-z0-9]{1,4} #[0-9A-Fa-f]{6}", spelled):
        raise ValueError(f"expected a name_like_this, 1 to 4 letters or digits and #RRGGBB, but got {spelled}")
    for other in loaded.values():
        if path.short.lower() == other.short.lower():
            raise ValueError(f"the short name '{path.short}' is taken by '{other}'")
    return path


PATHS = Registry(
    "opanas.information_paths",
    "information path",
    {path.value: f"{__name__}:PathType.{path.upper()}" for path in BUILT_IN_PATHS},
    _checked,
)


def information_paths() -> Mapping[str, PathType]:
    """All paths by name, ours first, then those found through the entry-point group ``opanas.information_paths``.

    A plug-in that is broken, or that claims a name or a short name already taken, is named in a warning and skipped.
    """
    return PATHS.all
