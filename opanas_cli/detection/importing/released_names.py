"""The weights of the released neck by our names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from opanas_cli.genotype import Genotype

PREFIX = "neck."

NAMES = {
    r"lateral_convs\.(\d+)\.conv": r"input_pyramid.laterals.\1",
    r"topcontext\.0\.conv": "input_pyramid.context",
    r"fpn_convs\.0\.conv": "input_pyramid.extra_conv",
    r"fpn_convs\.1\.conv": "extra_outputs.layers.0",
    r"EDGE\.tdm_convs\.(\d+)(\.conv_offset)?": r"EDGE.top_down.convs.\1\2",
    r"EDGE\.bun_convs\.(\d+)(\.conv_offset)?": r"EDGE.bottom_up.convs.\1\2",
    r"EDGE\.fuse\.([01])(\.conv_offset)?": r"EDGE.fusing_splitting.convs.\1\2",
    r"EDGE\.Pconv\.0(\.conv_offset)?": r"EDGE.scale_equalizing.from_coarser\1",
    r"EDGE\.Pconv\.1(\.conv_offset)?": r"EDGE.scale_equalizing.from_same\1",
    r"EDGE\.Pconv\.2(\.conv_offset)?": r"EDGE.scale_equalizing.from_finer\1",
}
"""The modules of the released neck as regular expressions, and ours; no tensor is transposed.

EDGE is ``features.INDEX`` there, by the flat index of the edge, and ``paths.SOURCE_TARGET`` here.
"""

UNUSED = re.compile(r"neck\.features\.\d+\.(tdm|bun)_convs\.0\.conv_offset\..+")
"""The finest level has offsets too, although its convolution is plain."""
ALIAS = re.compile(r"(neck\.features\.\d+\.fuse\.)1(\..+)")
"""The second convolution of a fusing-splitting path; in the released model it is the first one again."""


@dataclass(frozen=True)
class ReleasedWeights:
    """The weights of a released detector by our names.

    `origins` has the name that each had. `unused` are left out, because no computation uses them or they are others
    again. `unknown` are in the neck, but not by names of the released one. `share_fusing` is the setting of our neck.
    """

    weights: dict[str, Tensor]
    origins: dict[str, str]
    unused: list[str]
    unknown: list[str]
    share_fusing: bool


def released_weights(state: Mapping[str, Tensor], genotype: Genotype) -> ReleasedWeights:
    """The weights of a detector with the released neck of a dense genotype.

    Outside of the neck, mmdet 3 calls all weights of our detectors as mmdet 2 does, and orders the classes alike.
    """
    aliases = {name: "0".join(found.groups()) for name in state if (found := ALIAS.fullmatch(name))}
    share_fusing = all(first in state and state[name].equal(state[first]) for name, first in aliases.items())
    unused = [name for name in state if UNUSED.fullmatch(name) or (share_fusing and name in aliases)]
    names = {name: _our_name(name, genotype) for name in state if name not in unused}
    origins = {ours: name for name, ours in names.items() if ours is not None}
    weights = {ours: state[name] for ours, name in origins.items()}
    unknown = [name for name, ours in names.items() if ours is None]
    return ReleasedWeights(weights, origins, unused, unknown, share_fusing)


def _our_name(name: str, genotype: Genotype) -> str | None:
    """Our name of a weight; None if it is in the neck, but not one of `NAMES`."""
    if not name.startswith(PREFIX):
        return name
    module, _, kind = name.removeprefix(PREFIX).rpartition(".")
    edge = ""
    if (found := re.match(r"features\.(\d+)", module)) and int(found[1]) < len(genotype.edges):
        source, target = genotype.edges[int(found[1])]
        edge, module = f"paths.{source}_{target}", f"EDGE{module[found.end() :]}"
    for pattern, ours in NAMES.items():
        if (found := re.fullmatch(pattern, module)) and kind in ("weight", "bias"):
            return f"{PREFIX}{found.expand(ours)}.{kind}".replace("EDGE", edge)
    return None
