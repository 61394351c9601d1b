"""How each information path looks: its colour, its short form and its name in a legend.

The colours follow Okabe and Ito's palette, which stays apart for people with any of the common colour-vision
deficiencies; a path is also always labelled, so a picture survives a black-and-white printer.
"""

from __future__ import annotations

from opanas_cli.genotype import PathType

COLOURS = {
    PathType.TOP_DOWN: "#0072B2",
    PathType.BOTTOM_UP: "#D55E00",
    PathType.SCALE_EQUALIZING: "#009E73",
    PathType.FUSING_SPLITTING: "#D0609F",
    PathType.SKIP_CONNECT: "#4D4D4D",
    PathType.NONE: "#B8BEC4",
}

SHORT_FORMS = {
    PathType.TOP_DOWN: "TD",
    PathType.BOTTOM_UP: "BU",
    PathType.SCALE_EQUALIZING: "SE",
    PathType.FUSING_SPLITTING: "FS",
    PathType.SKIP_CONNECT: "skip",
    PathType.NONE: "none",
}

NAMES = {
    PathType.TOP_DOWN: "top-down",
    PathType.BOTTOM_UP: "bottom-up",
    PathType.SCALE_EQUALIZING: "scale-equalizing",
    PathType.FUSING_SPLITTING: "fusing-splitting",
    PathType.SKIP_CONNECT: "skip-connect",
    PathType.NONE: "none",
}

INK = "#1F2933"
"""Live nodes and text."""
FADED = "#B8BEC4"
"""Whatever is dead."""
SUM = "#6B7680"
"""The arrows that add nodes up to the output; they carry no information path."""
