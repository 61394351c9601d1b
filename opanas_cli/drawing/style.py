"""How figures look, whatever the user's settings of matplotlib are."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_PIXELS = 8000
"""The longest side of a PNG."""
METADATA = {
    ".svg": {"Date": None, "Creator": None},
    ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    ".png": {"Software": None},
}


@contextmanager
def opanas_style() -> Iterator[None]:
    """Matplotlib's own defaults and ours, whatever the user's are; no warnings about letters that its font lacks."""
    import matplotlib

    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        matplotlib.rcdefaults()
        matplotlib.rcParams.update({"svg.hashsalt": "opanas", "svg.fonttype": "none", "pdf.fonttype": 42})
        yield


def save(figure: Figure, path: Path, suffix: str) -> None:
    """Write a figure to `path`, as `suffix` (.svg, .png or .pdf) says; inside `opanas_style`.

    The same figure gives the same bytes with the same matplotlib: no dates, no random ids.
    """
    dpi = min(200.0, MAX_PIXELS / max(figure.get_size_inches()))
    figure.savefig(path, format=suffix[1:], dpi=dpi, metadata=METADATA[suffix])
