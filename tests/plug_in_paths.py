"""Two information paths as another package would add them, one with weights and one without."""

from opanas_cli.genotype import PathType

LEVEL_WISE = PathType("level_wise", "LW", "#56B4E9", "plug_in_modules:LevelWise", is_parameterised=True)
SMOOTH = PathType("smooth", "sm", "#F0E442", "plug_in_modules:Smooth")

SHORT_TAKEN = PathType("short_taken", "td", "#000000", "plug_in_modules:Smooth")
NO_COLOUR = PathType("no_colour", "nc", "blue", "plug_in_modules:Smooth")
TOP_DOWN = PathType("top_down", "mine", "#000000", "plug_in_modules:Smooth")
NO_PATH = 7

LOST = PathType("lost", "lost", "#000000", "plug_in_modules:Lost")
LIAR = PathType("liar", "liar", "#000000", "plug_in_modules:LevelWise")
