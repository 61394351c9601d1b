"""The six information paths (section 3.1 of the paper), by name."""

from __future__ import annotations

import difflib
from enum import Enum
from reprlib import repr as shown

from opanas_cli.errors import InvalidGenotypeError


class PathType(str, Enum):
    """One information path between two feature pyramids."""

    TOP_DOWN = "top_down"
    BOTTOM_UP = "bottom_up"
    SCALE_EQUALIZING = "scale_equalizing"
    FUSING_SPLITTING = "fusing_splitting"
    SKIP_CONNECT = "skip_connect"
    NONE = "none"

    def __str__(self) -> str:
        return self.value

    @property
    def is_parameterised(self) -> bool:
        """Whether the path has weights of its own, and so takes part in super-net training."""
        return self in PARAMETERISED_PATHS

    @classmethod
    def parse(cls, name: object) -> PathType:
        """The path type called `name`.

        Raises:
            InvalidGenotypeError: there is none; the message suggests the closest name.
        """
        if isinstance(name, cls):
            return name
        names = [path.value for path in cls]
        if isinstance(name, str):
            if name in names:
                return cls(name)
            close = difflib.get_close_matches(name.lower()[:64], names, n=1)
        else:
            close = []
        hint = f"did you mean '{close[0]}'?" if close else f"choose one of {', '.join(names)}"
        raise InvalidGenotypeError(f"{shown(name)} is not an information path; {hint}")


PARAMETERISED_PATHS = (
    PathType.TOP_DOWN,
    PathType.BOTTOM_UP,
    PathType.SCALE_EQUALIZING,
    PathType.FUSING_SPLITTING,
)
