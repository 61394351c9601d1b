"""Pictures of genotypes: figures, graph languages, a page and a text for the terminal."""

from opanas_cli.drawing.diagram import Diagram, Notes
from opanas_cli.drawing.draw import SUFFIXES, draw, drawing_suffix

__all__ = ["SUFFIXES", "Diagram", "Notes", "draw", "drawing_suffix"]
