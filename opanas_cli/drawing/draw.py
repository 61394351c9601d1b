"""Draws genotypes into a file, in the format of its suffix."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from opanas_cli.atomic import replacing, write_atomically
from opanas_cli.drawing.diagram import Diagram
from opanas_cli.drawing.dot import to_dot
from opanas_cli.drawing.figure import save_figure
from opanas_cli.drawing.mermaid import to_mermaid
from opanas_cli.drawing.page import to_html
from opanas_cli.errors import UsageError

TEXTS: dict[str, Callable[[Sequence[Diagram]], str]] = {".dot": to_dot, ".mmd": to_mermaid, ".html": to_html}
FIGURES = (".svg", ".png", ".pdf")
SUFFIXES = (*FIGURES, *TEXTS)


def draw(diagrams: Sequence[Diagram], path: Path) -> Path:
    """Draw genotypes side by side into `path`, whole or not at all, and return it.

    The same diagrams give the same bytes.

    Raises:
        UsageError: no form of drawing has this suffix.
        OpanasError: the folder cannot be written to.
    """
    suffix = drawing_suffix(path)
    if suffix in TEXTS:
        write_atomically(path, TEXTS[suffix](diagrams))
    else:
        with replacing(path) as temporary:
            save_figure(diagrams, temporary, suffix)
    return path


def drawing_suffix(path: Path) -> str:
    """The suffix of `path`, which selects the format.

    Raises:
        UsageError: no form of drawing has it.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        got = f"'{suffix}'" if suffix else "no suffix"
        raise UsageError(f"{path}: expected one of the suffixes {', '.join(SUFFIXES)}, but got {got}")
    return suffix
