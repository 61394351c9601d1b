"""The colours of drawings beside those of the information paths, which are always labelled too."""

INK = "#1F2933"
"""Live nodes and text."""
FADED = "#B8BEC4"
"""Whatever is dead."""
SUM = "#6B7680"
"""The arrows that add nodes up to the output; they carry no information path."""
